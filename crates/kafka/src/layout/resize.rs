//! Which generation of the topics of endpoints' homes is in use, and whether the next one is being made.

use serde::{Deserialize, Serialize};

/// The layout's entry `resize`. Only `postrider topics resize` writes it, under a transactional id: who begins later
/// fences who began before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// The generation in use.
    pub generation: u32,
    /// How many partitions its topics have; none before the first resize: then as many as are recorded.
    pub partitions: Option<i32>,
    /// The highest generation that was ever begun: a number is used once.
    pub newest: u32,
    /// What is being moved to, while it is.
    pub to: Option<NextGeneration>,
}

/// A generation that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextGeneration {
    /// Its number.
    pub generation: u32,
    /// How many partitions its topics get.
    pub partitions: i32,
}

/// How a generation stands in the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is in use.
    InUse,
    /// It is in use, and everything in it is being moved: nobody may read, write or settle in it.
    Resizing,
    /// Another one is in use.
    Superseded,
}

impl Resize {
    /// How `generation` stands.
    pub fn standing(&self, generation: u32) -> Standing {
        match self.to {
            _ if self.generation != generation => Standing::Superseded,
            Some(_) => Standing::Resizing,
            None => Standing::InUse,
        }
    }

    /// As it is once a move to so many partitions was begun; what an earlier move had copied is not used.
    #[must_use]
    pub fn begun(self, partitions: i32) -> Self {
        let generation = self.newest.max(self.generation) + 1;
        Self { newest: generation, to: Some(NextGeneration { generation, partitions }), ..self }
    }

    /// As it is once everything was moved.
    #[must_use]
    pub fn finished(self) -> Self {
        let Some(NextGeneration { generation, partitions }) = self.to else { return self };
        Self { generation, partitions: Some(partitions), to: None, ..self }
    }

    /// As it is once the move was given up.
    #[must_use]
    pub fn given_up(self) -> Self {
        Self { to: None, ..self }
    }

    /// Generations that were begun and never used.
    pub fn abandoned(&self) -> impl Iterator<Item = u32> + use<> {
        let to = self.to.map(|to| to.generation);
        (self.generation + 1..=self.newest).filter(move |generation| Some(*generation) != to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_has_a_generation_of_its_own_and_only_the_last_is_used() {
        let first = Resize::default();
        assert_eq!(first.standing(0), Standing::InUse);
        let killed = first.begun(5);
        assert_eq!((killed.to.unwrap().generation, killed.standing(0)), (1, Standing::Resizing));
        let again = killed.begun(5);
        assert_eq!(again.to, Some(NextGeneration { generation: 2, partitions: 5 }));
        assert_eq!(again.abandoned().collect::<Vec<_>>(), [1]);
        let done = again.finished();
        assert_eq!((done.generation, done.partitions, done.to), (2, Some(5), None));
        assert_eq!((done.standing(0), done.standing(2)), (Standing::Superseded, Standing::InUse));
        let given_up = done.begun(9).given_up();
        assert_eq!((given_up.standing(2), given_up.begun(9).to.unwrap().generation), (Standing::InUse, 4));
        assert_eq!(given_up.abandoned().collect::<Vec<_>>(), [3]);
    }
}
