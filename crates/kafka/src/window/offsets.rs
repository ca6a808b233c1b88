//! Which offsets of a partition are done.

use postrider_domain::Runs;

/// Those below a base, and runs above it.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    /// Everything below is done. None before anything is known.
    base: Option<i64>,
    /// Behind the newest record that was read.
    next: i64,
    /// What is done above the base. An offset never seen (a gap) counts as done.
    done: Runs,
    /// Where reading went back to, each time that it did: from there on everything is another record.
    rewinds: Vec<i64>,
}

/// What was read before and what was read after reading went back are told apart by this.
pub(super) type Epoch = usize;

impl Offsets {
    /// Reading begins at `base`; `done` above it is done already.
    pub(super) fn starting(base: Option<i64>, mut done: Runs) -> Self {
        let next = base.unwrap_or(0);
        done.advance(next);
        let mut offsets = Self { base, next, done, rewinds: Vec::new() };
        offsets.advance();
        offsets
    }

    /// Takes note of a record that was read. Answers its epoch, or none if it is done already. Offsets between the
    /// last record and this one are gaps. One below the last means that what is there now is not what was read: the
    /// topic was made anew or lost its end.
    pub(super) fn track(&mut self, offset: i64) -> Option<Epoch> {
        if self.base.is_none() {
            (self.base, self.next) = (Some(offset), offset);
        }
        if offset < self.next {
            self.rewind(offset);
        }
        if offset > self.next {
            self.done.insert(self.next..offset);
            self.advance();
        }
        self.next = offset + 1;
        let known = self.base.is_some_and(|base| offset < base) || self.done.contains(offset);
        (!known).then_some(self.rewinds.len())
    }

    /// Marks a record that was tracked in `epoch` as done. Answers whether that changes anything.
    pub(super) fn complete(&mut self, offset: i64, epoch: Epoch) -> bool {
        let Some(base) = self.base else { return false };
        let replaced = self.rewinds[epoch..].iter().any(|to| offset >= *to);
        if replaced || offset < base {
            return false;
        }
        if offset == base {
            self.base = Some(base + 1);
        } else {
            self.done.insert(offset..offset + 1);
        }
        self.advance();
        true
    }

    /// The offset to commit: the first that is not done. None before anything is known.
    pub(super) fn prefix(&self) -> Option<i64> {
        self.base
    }

    /// The offset that is read next. None before anything is known.
    pub(super) fn next(&self) -> Option<i64> {
        self.base.map(|_| self.next)
    }

    /// What is done above the prefix.
    pub(super) fn done(&self) -> &Runs {
        &self.done
    }

    /// Offsets between the prefix and the newest record that was read.
    pub(super) fn span(&self) -> u64 {
        self.base.map_or(0, |base| u64::try_from(self.next - base).unwrap_or(0))
    }

    fn advance(&mut self) {
        let Some(base) = self.base.filter(|_| !self.done.is_empty()) else { return };
        let prefix = self.done.first_missing(base);
        if prefix > base {
            self.base = Some(prefix);
            self.done.advance(prefix);
        }
    }

    fn rewind(&mut self, to: i64) {
        self.done.truncate(to);
        self.base = self.base.map(|base| base.min(to));
        self.next = to;
        self.rewinds.push(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_begins_anew_is_settled_from_its_beginning() {
        let mut offsets = Offsets::default();
        let old: Vec<_> = (0..10).map(|offset| offsets.track(offset).unwrap()).collect();
        offsets.complete(2, old[2]);
        offsets.complete(0, old[0]);
        assert_eq!(offsets.prefix(), Some(1));
        // The topic lost what is from offset 2 on.
        let new = offsets.track(2).expect("it is another record than the one that is done");
        assert!(!offsets.complete(2, old[2]) && offsets.complete(1, old[1]));
        assert_eq!(offsets.prefix(), Some(2));
        assert!(offsets.complete(2, new));
        // It was made anew.
        let first = offsets.track(0).unwrap();
        assert_eq!(offsets.prefix(), Some(0));
        assert!(!offsets.complete(0, new) && offsets.complete(0, first));
        assert_eq!(offsets.prefix(), Some(1));
    }

    #[test]
    fn gaps_are_done() {
        let mut offsets = Offsets::starting(Some(5), Runs::new());
        let (first, second) = (offsets.track(10).unwrap(), offsets.track(1_000_000_000_000).unwrap());
        assert_eq!((offsets.prefix(), offsets.done().len_runs()), (Some(10), 1));
        offsets.complete(10, first);
        assert_eq!((offsets.prefix(), offsets.span()), (Some(1_000_000_000_000), 1));
        offsets.complete(1_000_000_000_000, second);
        assert_eq!((offsets.prefix(), offsets.span()), (Some(1_000_000_000_001), 0));
    }
}
