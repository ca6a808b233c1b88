//! Changes of what an endpoint's owner keeps with it.

use std::collections::BTreeMap;

use super::ManageError;

/// The most entries of one endpoint.
pub const MAX_ENTRIES: usize = 50;

/// What of an endpoint's metadata is to be changed.
#[derive(Debug, Default)]
pub struct MetadataPatch {
    /// Entries by name, each checked: a new text, or none to remove it. A name that is not here stays.
    pub entries: BTreeMap<String, Option<String>>,
    /// Whether entries that are not named are removed.
    pub removes_others: bool,
}

impl MetadataPatch {
    /// The metadata after the patch.
    pub(super) fn apply(self, present: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ManageError> {
        let mut entries = if self.removes_others { BTreeMap::new() } else { present };
        for (name, text) in self.entries {
            match text {
                Some(text) => drop(entries.insert(name, text)),
                None => drop(entries.remove(&name)),
            }
        }
        let count = entries.len();
        if count > MAX_ENTRIES {
            let message = format!("the endpoint would have {count} entries, at most {MAX_ENTRIES} are allowed");
            return Err(ManageError::Setting { field: "/metadata", message });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(entries: &[(&str, Option<&str>)]) -> MetadataPatch {
        let entry = |(name, text): &(&str, Option<&str>)| ((*name).to_owned(), text.map(ToOwned::to_owned));
        MetadataPatch { entries: entries.iter().map(entry).collect(), removes_others: false }
    }

    #[test]
    fn entries_are_added_replaced_and_removed_by_name() {
        let first = named(&[("team", Some("blue")), ("tier", Some("1"))]).apply(BTreeMap::new()).unwrap();
        let second = named(&[("team", Some("red")), ("tier", None), ("none", None)]).apply(first.clone()).unwrap();
        assert_eq!(second, BTreeMap::from([("team".to_owned(), "red".to_owned())]));
        let only = MetadataPatch { removes_others: true, ..named(&[("a", Some("b"))]) };
        assert_eq!(only.apply(first).unwrap(), BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }

    #[test]
    fn there_are_no_more_than_are_allowed() {
        let full = (0..MAX_ENTRIES).map(|number| (number.to_string(), String::new())).collect();
        assert!(named(&[("one more", Some(""))]).apply(full).is_err());
    }
}
