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

/// Something of a key that was received for the first time after something later of the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disorder {
    /// The key.
    pub key: String,
    /// What came.
    pub number: u64,
    /// What had come before it, though it is later.
    pub after: u64,
}

/// Where, within a key, first receipts were not in the order of their numbers. Repetitions may come at any time.
pub fn disorders(received: impl IntoIterator<Item = (String, u64)>) -> Vec<Disorder> {
    let mut seen: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut found = Vec::new();
    for (key, number) in received {
        let of_key = seen.entry(key.clone()).or_default();
        let latest = of_key.last().copied().unwrap_or_default();
        if of_key.insert(number) && number < latest {
            found.push(Disorder { key, number, after: latest });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_receipts_of_a_key_are_in_order_whatever_is_repeated() {
        let all = |text: &str| {
            let one = |pair: &str| (pair[..1].to_owned(), pair[1..].parse().unwrap());
            disorders(text.split(' ').map(one).collect::<Vec<_>>())
        };
        assert_eq!(all("a1 b1 a2 a1 a3 b2 a2 b1"), []);
        assert_eq!(all("a1 b9 a3 a2 b10 a3"), [Disorder { key: "a".to_owned(), number: 2, after: 3 }]);
    }

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
