//! A hash map that grows in small steps.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
};

/// Enough that a million entries are moved in steps of about a thousand.
const PARTS: usize = 1_024;

/// A hash map in parts. When a plain one grows, all its entries are moved at once, which takes tens of milliseconds for
/// a million; here, only those of one part are.
#[derive(Debug)]
pub struct Sharded<K, V> {
    hasher: RandomState,
    parts: Box<[HashMap<K, V>]>,
}

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let parts = std::iter::repeat_with(|| HashMap::with_hasher(hasher.clone())).take(PARTS).collect();
        Self { hasher, parts }
    }
}

impl<K: Eq + Hash, V> Sharded<K, V> {
    /// The value at `key`.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[self.part_of(key)].get(key)
    }

    /// The part that has `key`, or would have it.
    pub fn part_mut<Q: Hash + ?Sized>(&mut self, key: &Q) -> &mut HashMap<K, V>
    where
        K: Borrow<Q>,
    {
        let part = self.part_of(key);
        &mut self.parts[part]
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(HashMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(HashMap::is_empty)
    }

    fn part_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // Of the same hash, a part's table takes the lowest bits and the highest seven.
        let bits = self.hasher.hash_one(key) >> 32;
        usize::try_from(bits % PARTS as u64).expect("there are few parts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_found_and_no_part_has_much_of_it() {
        let mut map: Sharded<String, usize> = Sharded::default();
        for number in 0..100_000 {
            let key = number.to_string();
            map.part_mut(&key).insert(key, number);
        }
        assert_eq!((map.len(), map.get("77"), map.get("100000")), (100_000, Some(&77), None));
        let largest = map.parts.iter().map(HashMap::len).max().unwrap();
        assert!(largest < 200, "{largest} in a part, of 98 on average");
        for number in 0..100_000 {
            let key = number.to_string();
            assert_eq!(map.part_mut(&key).remove(&key), Some(number));
        }
        assert!(map.is_empty());
    }
}
