//! The queue of an ordered endpoint: one delivery at a time for each key, in order. Pure.

use std::collections::{BTreeSet, HashMap, VecDeque};

use postrider_domain::Monotonic;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// It may be sent.
    Ready,
    /// It is being sent; it is not in the queue.
    InFlight,
    /// It failed, and is sent again then.
    Waits(Monotonic),
}

#[derive(Debug)]
struct KeyQueue<T> {
    items: VecDeque<T>,
    head: Head,
    fresh: bool,
}

/// An ordered endpoint's queues, one for each key of which anything waits or is in flight.
#[derive(Debug)]
pub(super) struct KeyQueues<T> {
    keys: HashMap<String, KeyQueue<T>>,
    ready: VecDeque<String>,
    waiting: BTreeSet<(Monotonic, String)>,
    len: usize,
}

impl<T> Default for KeyQueues<T> {
    fn default() -> Self {
        Self { keys: HashMap::new(), ready: VecDeque::new(), waiting: BTreeSet::new(), len: 0 }
    }
}

impl<T> KeyQueues<T> {
    /// Lets an item wait behind those of its key. `fresh`: it is new, it was not held. New ones and held ones of one
    /// key never wait together.
    pub(super) fn push(&mut self, key: &str, item: T, fresh: bool) {
        self.len += 1;
        if let Some(queue) = self.keys.get_mut(key) {
            queue.items.push_back(item);
            return;
        }
        self.keys.insert(key.to_owned(), KeyQueue { items: VecDeque::from([item]), head: Head::Ready, fresh });
        self.ready.push_back(key.to_owned());
    }

    /// The next head to send, keys in turn; its key is in flight from here on.
    pub(super) fn pop(&mut self, now: Monotonic) -> Option<(String, T)> {
        self.wake(now);
        let key = self.ready.pop_front()?;
        let queue = self.keys.get_mut(&key).expect("a ready key has a queue");
        queue.head = Head::InFlight;
        let item = queue.items.pop_front().expect("a ready key has an item");
        self.len -= 1;
        Some((key, item))
    }

    /// Whether a head could be sent now.
    pub(super) fn has_ready(&mut self, now: Monotonic) -> bool {
        self.wake(now);
        !self.ready.is_empty()
    }

    fn wake(&mut self, now: Monotonic) {
        while let Some((at, _)) = self.waiting.first()
            && *at <= now
        {
            let (_, key) = self.waiting.pop_first().expect("it was just seen");
            if let Some(queue) = self.keys.get_mut(&key) {
                queue.head = Head::Ready;
                self.ready.push_back(key);
            }
        }
    }

    /// When the next waiting head may be sent.
    pub(super) fn next_wake(&self) -> Option<Monotonic> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// The head that was in flight is done with: the next of its key may go.
    pub(super) fn advance(&mut self, key: &str) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        if queue.items.is_empty() {
            self.keys.remove(key);
        } else {
            queue.head = Head::Ready;
            self.ready.push_back(key.to_owned());
        }
    }

    /// The head that was in flight is to be sent again at `at`.
    pub(super) fn again(&mut self, key: &str, item: T, at: Monotonic) {
        if let Some(queue) = self.keys.get_mut(key) {
            queue.items.push_front(item);
            queue.head = Head::Waits(at);
            self.waiting.insert((at, key.to_owned()));
            self.len += 1;
        }
    }

    /// Takes a key out, with what waits of it, if its head is not in flight; only what waits behind it, if it is.
    pub(super) fn take(&mut self, key: &str) -> Vec<T> {
        let Some(queue) = self.keys.get_mut(key) else { return Vec::new() };
        let items: Vec<T> = queue.items.drain(..).collect();
        self.len -= items.len();
        let head = queue.head;
        match head {
            Head::InFlight => return items,
            Head::Ready => self.ready.retain(|ready| ready != key),
            Head::Waits(at) => drop(self.waiting.remove(&(at, key.to_owned()))),
        }
        self.keys.remove(key);
        items
    }

    /// The keys of which nothing is in flight.
    pub(super) fn resting(&self) -> Vec<String> {
        self.keys.iter().filter(|(_, queue)| queue.head != Head::InFlight).map(|(key, _)| key.clone()).collect()
    }

    /// Whether anything of a key waits or is in flight.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether what waits or is in flight of a key is new.
    pub(super) fn is_fresh(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|queue| queue.fresh)
    }

    /// How many of a key wait.
    pub(super) fn len_of(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, |queue| queue.items.len())
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in flight.
    pub(super) fn is_resting(&self) -> bool {
        self.keys.values().all(|queue| queue.head != Head::InFlight)
    }

    /// Takes everything out that waits, key by key.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        let keys: Vec<String> = self.keys.keys().cloned().collect();
        keys.iter().flat_map(|key| self.take(key)).collect()
    }

    /// Whether nothing waits and nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Monotonic = Monotonic::START;

    #[test]
    fn one_of_a_key_at_a_time_and_other_keys_go_on() {
        let mut keys = KeyQueues::default();
        for (key, item) in [("a", 1), ("a", 2), ("b", 3)] {
            keys.push(key, item, true);
        }
        assert_eq!(keys.pop(NOW), Some(("a".into(), 1)));
        assert_eq!(keys.pop(NOW), Some(("b".into(), 3)));
        assert_eq!(keys.pop(NOW), None);
        keys.again("a", 1, NOW + Duration::from_secs(5));
        keys.advance("b");
        assert_eq!((keys.pop(NOW), keys.next_wake()), (None, Some(NOW + Duration::from_secs(5))));
        assert_eq!(keys.pop(NOW + Duration::from_secs(5)), Some(("a".into(), 1)));
        keys.advance("a");
        assert_eq!(keys.pop(NOW), Some(("a".into(), 2)));
    }

    #[test]
    fn a_key_is_taken_out_whole_unless_its_head_is_in_flight() {
        let mut keys = KeyQueues::default();
        (0..3).for_each(|item| keys.push("a", item, true));
        (3..5).for_each(|item| keys.push("b", item, true));
        keys.pop(NOW);
        assert_eq!((keys.take("a"), keys.has("a")), (vec![1, 2], true));
        assert_eq!((keys.take("b"), keys.has("b")), (vec![3, 4], false));
        keys.advance("a");
        assert!(keys.is_empty() && keys.pop(NOW).is_none());
    }

    proptest! {
        /// Whatever fails and waits: the items of a key are finished in order, each once, never two at a time.
        #[test]
        fn keys_keep_their_order(
            pushes in prop::collection::vec(0..4u8, 1..80), verdicts in prop::collection::vec(any::<bool>(), 1..300),
        ) {
            let mut keys = KeyQueues::default();
            let mut wanted: HashMap<String, Vec<usize>> = HashMap::new();
            for (number, key) in pushes.iter().enumerate() {
                keys.push(&key.to_string(), number, true);
                wanted.entry(key.to_string()).or_default().push(number);
            }
            let mut finished: HashMap<String, Vec<usize>> = HashMap::new();
            let (mut flying, mut now) = (VecDeque::new(), NOW);
            for failed in verdicts.into_iter().chain(std::iter::repeat_n(false, 400)) {
                now = now + Duration::from_secs(1);
                while let Some(head) = keys.pop(now) {
                    prop_assert!(flying.iter().all(|(key, _)| *key != head.0), "two of a key at once");
                    flying.push_back(head);
                }
                let Some((key, item)) = flying.pop_front() else { continue };
                if failed {
                    keys.again(&key, item, now + Duration::from_secs(3));
                } else {
                    keys.advance(&key);
                    finished.entry(key).or_default().push(item);
                }
            }
            prop_assert_eq!(finished, wanted);
            prop_assert!(keys.is_empty());
            prop_assert_eq!(keys.len(), 0);
        }
    }
}
