//! Which dead letters were dealt with already.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::{
    JobId, MessageId, Run,
    replay::{DeadLetterMark, Mark},
};

/// Marks and entries of one partition that a job remembers at most: about 70 MB.
pub const MAX_MARKS: usize = 2_000_000;

/// More are marked than is remembered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_MARKS} dead letters of one partition are marked or wanted: narrow the time that is asked for")]
pub struct TooManyMarks;

/// Whether a dead letter is still to be redriven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has dealt with it.
    Open,
    /// This very job redrove it, before it was interrupted.
    RedrivenHere,
    /// Somebody else redrove or purged it, or it stood in the queue twice.
    Settled,
}

/// The dead letters of one partition that were dealt with, by (message id, run): 16 bytes of a hash each.
#[derive(Debug)]
pub struct Marks {
    job: JobId,
    /// Whether this job redrove it.
    known: HashMap<[u8; 16], bool>,
}

impl Marks {
    /// None yet, for `job`.
    pub fn new(job: JobId) -> Self {
        Self { job, known: HashMap::new() }
    }

    /// Takes note of a mark.
    pub fn add(&mut self, mark: &DeadLetterMark) -> Result<(), TooManyMarks> {
        let here = mark.mark == Mark::Redriven && mark.job.as_ref() == Some(&self.job);
        self.remember(hash(&mark.message_id, &mark.run), here)
    }

    /// Whether a wanted entry is still to be redriven. From here on it counts as settled: the dispatcher may have
    /// written it twice.
    pub fn take(&mut self, message: &MessageId, run: &Run) -> Result<Standing, TooManyMarks> {
        let key = hash(message, run);
        let standing = match self.known.get(&key) {
            None => Standing::Open,
            Some(true) => Standing::RedrivenHere,
            Some(false) => Standing::Settled,
        };
        self.remember(key, false)?;
        Ok(standing)
    }

    fn remember(&mut self, key: [u8; 16], here: bool) -> Result<(), TooManyMarks> {
        if self.known.len() >= MAX_MARKS && !self.known.contains_key(&key) {
            return Err(TooManyMarks);
        }
        self.known.insert(key, here);
        Ok(())
    }
}

fn hash(message: &MessageId, run: &Run) -> [u8; 16] {
    // Ids have no line ends.
    let digest = Sha256::digest(format!("{message}\n{run}"));
    digest[..16].try_into().expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{EndpointId, Timestamp};

    fn job(number: u8) -> JobId {
        JobId::from_trusted(format!("job_{number}"))
    }

    fn message(number: u8) -> MessageId {
        MessageId::from_trusted(format!("msg_{number}"))
    }

    fn run(number: u8) -> Run {
        if number == 0 { Run::LIVE } else { Run::replay(job(number), 7) }
    }

    fn mark(message_id: MessageId, run: Run, mark: Mark, by: Option<JobId>) -> DeadLetterMark {
        let endpoint = EndpointId::from_trusted("ep_1");
        DeadLetterMark { message_id, run, endpoint, mark, job: by, at: Timestamp::EPOCH }
    }

    #[test]
    fn what_is_marked_is_settled_and_what_this_job_redrove_is_told_apart() {
        let mut marks = Marks::new(job(1));
        marks.add(&mark(message(1), run(0), Mark::Redriven, Some(job(1)))).unwrap();
        marks.add(&mark(message(2), run(0), Mark::Redriven, Some(job(2)))).unwrap();
        marks.add(&mark(message(3), run(0), Mark::Purged, None)).unwrap();
        let mut take = |number, of| marks.take(&message(number), &run(of)).unwrap();
        assert_eq!(take(1, 0), Standing::RedrivenHere);
        assert_eq!(take(2, 0), Standing::Settled);
        assert_eq!(take(3, 0), Standing::Settled);
        assert_eq!(take(4, 0), Standing::Open);
    }

    #[test]
    fn a_redrive_that_failed_again_is_an_entry_of_its_own() {
        let mut marks = Marks::new(job(2));
        marks.add(&mark(message(1), run(0), Mark::Redriven, Some(job(1)))).unwrap();
        assert_eq!(marks.take(&message(1), &run(1)), Ok(Standing::Open));
    }

    #[test]
    fn an_entry_that_stands_twice_is_redriven_once() {
        let mut marks = Marks::new(job(1));
        assert_eq!(marks.take(&message(1), &run(0)), Ok(Standing::Open));
        assert_eq!(marks.take(&message(1), &run(0)), Ok(Standing::Settled));
    }

    proptest! {
        /// Two jobs after each other, the first interrupted anywhere between an acknowledged delivery and the end:
        /// together they redrive each entry once.
        #[test]
        fn jobs_that_read_the_marks_first_redrive_each_entry_once(
            entries in prop::collection::vec((0..6_u8, 0..3_u8), 0..40),
            interrupted in any::<prop::sample::Index>(),
        ) {
            let (mut queue_marks, mut redriven) = (Vec::new(), Vec::new());
            let first = interrupted.index(entries.len() + 1);
            for (by, until) in [(1, first), (1, entries.len()), (2, entries.len())] {
                let mut marks = Marks::new(job(by));
                for mark in &queue_marks {
                    marks.add(mark).unwrap();
                }
                for (id, of) in &entries[..until] {
                    if marks.take(&message(*id), &run(*of)).unwrap() == Standing::Open {
                        redriven.push((*id, *of));
                        queue_marks.push(mark(message(*id), run(*of), Mark::Redriven, Some(job(by))));
                    }
                }
            }
            let mut wanted = entries.clone();
            wanted.sort_unstable();
            wanted.dedup();
            redriven.sort_unstable();
            prop_assert_eq!(redriven, wanted);
        }
    }
}
