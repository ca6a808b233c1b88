//! How much of a partition is read before it can be sent.

/// Deliveries that a process which is late reads before they can be sent to endpoints that take some. What it is too
/// slow for itself stays where it is.
const MAX_READ_AHEAD: usize = 128;
/// How many deliveries may be read or answered before what was read ahead is counted anew.
const COUNT_EVERY: u32 = 64;

/// Whether enough was read ahead, as far as it was counted.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    is_enough: bool,
    /// Deliveries that were read or answered since.
    changes: u32,
}

impl ReadAhead {
    /// Whether nothing more needs to be read for now.
    pub(super) fn is_enough(&self) -> bool {
        self.is_enough
    }

    /// A delivery was read or answered. Whether it is time to count.
    pub(super) fn changed(&mut self) -> bool {
        self.changes += 1;
        self.changes >= COUNT_EVERY
    }

    /// What waits although its endpoints take some was counted, `ahead`, if the process is late; else it waits for its
    /// endpoints, which is their own affair.
    pub(super) fn counted(&mut self, ahead: Option<usize>) {
        *self = Self { is_enough: ahead.is_some_and(|ahead| ahead >= MAX_READ_AHEAD), changes: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_late_has_read_enough() {
        let mut ahead = ReadAhead::default();
        assert_eq!((0..COUNT_EVERY).filter(|_| ahead.changed()).count(), 1);
        for (counted, is_enough) in [(Some(MAX_READ_AHEAD), true), (Some(MAX_READ_AHEAD - 1), false), (None, false)] {
            ahead.counted(counted);
            assert_eq!((ahead.is_enough(), ahead.changed()), (is_enough, false));
        }
    }
}
