//! What many subscriptions have in common.

use std::{borrow::Borrow, hash::Hash};

use crate::sharded::Sharded;

/// Names that subscriptions share: each is kept once, and has a number, as long as it is used.
#[derive(Debug)]
pub(super) struct Names<K> {
    known: Sharded<K, Use>,
    /// Numbers that were used and are not now.
    free: Vec<u32>,
    next: u32,
}

#[derive(Debug)]
struct Use {
    number: u32,
    users: u32,
}

impl<K> Default for Names<K> {
    fn default() -> Self {
        Self { known: Sharded::default(), free: Vec::new(), next: 0 }
    }
}

impl<K: Clone + Eq + Hash> Names<K> {
    /// Counts one more user of `name`, and has it share what the others use.
    pub(super) fn take(&mut self, name: &mut K) {
        let part = self.known.part_mut(name);
        if let Some((known, _)) = part.get_key_value(name) {
            *name = known.clone();
        }
        let (free, next) = (&mut self.free, &mut self.next);
        let used = part.entry(name.clone()).or_insert_with(|| {
            let number = free.pop().unwrap_or_else(|| {
                *next += 1;
                *next
            });
            Use { number, users: 0 }
        });
        used.users += 1;
    }

    /// Counts one user less.
    pub(super) fn give_back<Q: Eq + Hash + ?Sized>(&mut self, name: &Q)
    where
        K: Borrow<Q>,
    {
        let part = self.known.part_mut(name);
        let Some(used) = part.get_mut(name) else { return };
        used.users -= 1;
        if used.users == 0 {
            self.free.push(used.number);
            part.remove(name);
        }
    }

    /// The number of a name; none if nobody uses it.
    pub(super) fn number<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
    {
        self.known.get(name).map(|used| used.number)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_name_is_kept_once_while_it_is_used_and_its_number_is_used_again() {
        let mut names: Names<Arc<str>> = Names::default();
        let (mut a, mut again, mut b): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "a".into(), "b".into());
        names.take(&mut a);
        names.take(&mut again);
        assert!(Arc::ptr_eq(&a, &again));
        names.take(&mut b);
        let (number, other) = (names.number("a").unwrap(), names.number("b").unwrap());
        assert_ne!(number, other);
        names.give_back("a");
        assert_eq!(names.number("a"), Some(number), "somebody still uses it");
        names.give_back("a");
        assert_eq!((names.number("a"), names.len()), (None, 1));
        let mut c = "c".into();
        names.take(&mut c);
        assert_eq!(names.number("c"), Some(number));
    }
}
