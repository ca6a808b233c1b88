//! The ledger of a fault test: what was produced against what was received.

use std::collections::{BTreeMap, BTreeSet};

/// The outcome of a comparison. Lost ones break the promise; duplicates are allowed, and worth counting.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Produced and never received.
    pub lost: BTreeSet<String>,
    /// Received more than once, with how many times too often.
    pub duplicates: BTreeMap<String, usize>,
    /// Received and never produced.
    pub unexpected: BTreeSet<String>,
}

/// Compares ids produced with ids received.
pub fn compare(
    produced: impl IntoIterator<Item = impl Into<String>>,
    received: impl IntoIterator<Item = impl Into<String>>,
) -> Verdict {
    let produced: BTreeSet<String> = produced.into_iter().map(Into::into).collect();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for id in received {
        *times.entry(id.into()).or_default() += 1;
    }
    Verdict {
        lost: produced.iter().filter(|id| !times.contains_key(*id)).cloned().collect(),
        unexpected: times.keys().filter(|id| !produced.contains(*id)).cloned().collect(),
        duplicates: times.into_iter().filter(|(_, times)| *times > 1).map(|(id, times)| (id, times - 1)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_duplicate_and_unexpected_ids_are_told_apart() {
        let verdict = compare(["a", "b", "c"], ["b", "c", "c", "c", "d"]);
        assert_eq!(verdict.lost, BTreeSet::from(["a".to_owned()]));
        assert_eq!(verdict.duplicates, BTreeMap::from([("c".to_owned(), 2)]));
        assert_eq!(verdict.unexpected, BTreeSet::from(["d".to_owned()]));
    }

    #[test]
    fn nothing_missing_is_an_empty_verdict() {
        assert_eq!(compare(["a"], ["a"]), Verdict::default());
    }
}
