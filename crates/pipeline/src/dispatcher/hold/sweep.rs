//! One reader per partition of `postrider.held`, for all its endpoints: where it reads next. Pure.
//!
//! The reader sweeps upward. A holder (an endpoint, or one blocked key of an ordered endpoint) takes the records that
//! are its own while it has room; one without room leaves the sweep at the record that it could not take. When nobody
//! in the sweep can take more, the reader waits with that record in hand: alone in its partition, a holder reads
//! each record once. If somebody behind the reader has room meanwhile, it turns back.

use std::{collections::HashMap, hash::Hash};

/// Bytes that are read on while somebody with room is behind; then the reader turns back.
const MAX_BYTES_AHEAD: u64 = 16 * 1024 * 1024;

/// After so many records in a row that nobody missed the reader looks for whoever is next, and goes there at once.
const LOOK_AHEAD_EVERY: u32 = 64;

/// What the reader is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Move {
    /// Take the next record.
    Read,
    /// Nothing, until somebody has room.
    Wait,
    /// Go back, or far ahead, and read from this offset.
    TurnBack(i64),
}

/// What becomes of a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Meeting {
    /// Its holder takes it.
    Take,
    /// Nobody misses it: it is not a holder's, or it was met before.
    Pass,
    /// Its holder has no room: keep it in hand if nobody else can go on, else let go of it.
    NoRoom,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    /// The first offset that it has not met. While it is in the sweep, the reader's position if that is higher.
    next: i64,
    room: bool,
    /// Whether it left the sweep: the reader has passed a record that it could not take.
    left: bool,
}

/// Where everybody stands.
#[derive(Debug)]
pub(in super::super) struct Sweep<K> {
    /// The offset that the reader brings next, or has in hand.
    cursor: i64,
    /// Whether there is nothing at the cursor yet.
    at_end: bool,
    holders: HashMap<K, Holder>,
    /// Those with room in the sweep, and those with room that left it.
    with_room: (usize, usize),
    bytes_ahead: u64,
    /// Records in a row that nobody missed.
    passed_by: u32,
}

impl<K: Hash + Eq + Clone> Sweep<K> {
    /// A sweep without holders, its reader before `cursor`.
    pub(in super::super) fn new(cursor: i64) -> Self {
        Self { cursor, at_end: false, holders: HashMap::new(), with_room: (0, 0), bytes_ahead: 0, passed_by: 0 }
    }

    /// Lets a holder in that has met everything below `next`. One that is in already starts again from there.
    pub(in super::super) fn enter(&mut self, key: K, next: i64, room: bool) {
        self.leave(&key);
        let holder = Holder { next, room, left: next < self.cursor };
        self.count(holder, true);
        self.holders.insert(key, holder);
    }

    /// Forgets a holder.
    pub(in super::super) fn leave(&mut self, key: &K) {
        if let Some(holder) = self.holders.remove(key) {
            self.count(holder, false);
        }
    }

    /// Tells whether a holder has room.
    pub(in super::super) fn set_room(&mut self, key: &K, room: bool) {
        let Some(holder) = self.holders.get(key).copied().filter(|holder| holder.room != room) else { return };
        self.count(holder, false);
        let holder = Holder { room, ..holder };
        self.count(holder, true);
        self.holders.insert(key.clone(), holder);
    }

    /// The first offset that a holder has not met.
    pub(in super::super) fn next_of(&self, key: &K) -> Option<i64> {
        let holder = self.holders.get(key)?;
        Some(if holder.left { holder.next } else { holder.next.max(self.cursor) })
    }

    /// The topic begins at `offset` now: everybody has met what lies below, there is nothing there.
    pub(in super::super) fn catch_up(&mut self, offset: i64) {
        for holder in self.holders.values_mut() {
            holder.next = holder.next.max(offset);
        }
        self.turned_back(offset);
    }

    /// Everybody.
    pub(in super::super) fn holders(&self) -> impl Iterator<Item = K> + '_ {
        self.holders.keys().cloned()
    }

    /// Whether there is anybody.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// Whether the reader has brought everything that there is, and this holder has met it all.
    pub(in super::super) fn is_caught_up(&self, key: &K) -> bool {
        self.at_end && self.next_of(key).is_some_and(|next| next >= self.cursor)
    }

    /// Everything below `end` was brought; there is nothing more for now.
    pub(in super::super) fn reached_end(&mut self, end: i64) {
        self.cursor = self.cursor.max(end);
        self.at_end = true;
    }

    /// What the reader is to do now.
    pub(in super::super) fn next_move(&self) -> Move {
        let (in_sweep, behind) = self.with_room;
        let go_on = in_sweep > 0 && !(behind > 0 && (self.at_end || self.bytes_ahead >= MAX_BYTES_AHEAD));
        if go_on {
            self.far_ahead().map_or(Move::Read, Move::TurnBack)
        } else if behind > 0 {
            self.lowest_with_room().map_or(Move::Wait, Move::TurnBack)
        } else {
            Move::Wait
        }
    }

    /// Where the reader can go at once: nobody with room misses what lies between. Looked for now and then.
    fn far_ahead(&self) -> Option<i64> {
        if self.passed_by == 0 || !self.passed_by.is_multiple_of(LOOK_AHEAD_EVERY) {
            return None;
        }
        let next =
            self.holders.values().filter(|holder| holder.room && !holder.left).map(|holder| holder.next).min()?;
        (next > self.cursor).then_some(next)
    }

    fn lowest_with_room(&self) -> Option<i64> {
        self.holders.values().filter(|holder| holder.room && holder.left).map(|holder| holder.next).min()
    }

    /// The reader was sent back to `offset`.
    pub(in super::super) fn turned_back(&mut self, offset: i64) {
        let before = self.cursor;
        self.cursor = offset;
        self.at_end = false;
        self.bytes_ahead = 0;
        self.passed_by = 0;
        self.with_room = (0, 0);
        for holder in self.holders.values_mut() {
            if !holder.left {
                holder.next = holder.next.max(before);
            }
            holder.left = holder.next < offset;
        }
        let holders: Vec<Holder> = self.holders.values().copied().collect();
        for holder in holders {
            self.count(holder, true);
        }
    }

    /// A record was brought, or is still in hand. `key`: whose it is, if it is a holder's.
    pub(in super::super) fn meet(&self, key: &K, offset: i64) -> Meeting {
        match self.holders.get(key) {
            Some(holder) if !holder.left && holder.next <= offset => {
                if holder.room {
                    Meeting::Take
                } else {
                    Meeting::NoRoom
                }
            }
            _ => Meeting::Pass,
        }
    }

    /// Nobody misses the record at `offset`.
    pub(in super::super) fn passed_by(&mut self, offset: i64, bytes: usize) {
        let passed_by = self.passed_by.wrapping_add(1);
        self.passed(offset, bytes);
        self.passed_by = passed_by;
    }

    /// The record at `offset` was taken.
    pub(in super::super) fn passed(&mut self, offset: i64, bytes: usize) {
        self.passed_by = 0;
        self.cursor = offset + 1;
        self.at_end = false;
        if self.with_room.1 > 0 {
            self.bytes_ahead += bytes as u64;
        }
    }

    /// Lets go of the record at `offset` although `key` misses it: it leaves the sweep there.
    pub(in super::super) fn let_go(&mut self, key: &K, offset: i64, bytes: usize) {
        if let Some(holder) = self.holders.get(key).copied() {
            self.count(holder, false);
            let holder = Holder { next: offset, left: true, ..holder };
            self.count(holder, true);
            self.holders.insert(key.clone(), holder);
        }
        self.passed(offset, bytes);
    }

    /// Sends a holder back to an offset that it has met already: what it took there was forgotten.
    pub(in super::super) fn send_back(&mut self, key: &K, offset: i64) {
        if let Some(holder) = self.holders.get(key).copied()
            && self.next_of(key).is_some_and(|next| offset < next)
        {
            self.enter(key.clone(), offset, holder.room);
        }
    }

    fn count(&mut self, holder: Holder, comes: bool) {
        if !holder.room {
            return;
        }
        let counter = if holder.left { &mut self.with_room.1 } else { &mut self.with_room.0 };
        *counter = if comes { *counter + 1 } else { counter.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn alone_a_holder_without_room_keeps_the_record_in_hand() {
        let mut sweep = Sweep::new(10);
        sweep.enter("a", 10, true);
        assert_eq!(sweep.next_move(), Move::Read);
        assert_eq!(sweep.meet(&"a", 10), Meeting::Take);
        sweep.passed(10, 1);
        sweep.set_room(&"a", false);
        assert_eq!(sweep.next_move(), Move::Wait);
        assert_eq!(sweep.meet(&"a", 11), Meeting::NoRoom);
        sweep.set_room(&"a", true);
        assert_eq!((sweep.next_move(), sweep.meet(&"a", 11)), (Move::Read, Meeting::Take));
    }

    #[test]
    fn one_that_left_is_turned_back_for_when_the_others_are_full_or_the_end_is_reached() {
        let mut sweep = Sweep::new(0);
        sweep.enter("a", 0, false);
        sweep.enter("b", 0, true);
        sweep.let_go(&"a", 0, 1);
        sweep.passed(1, 1);
        assert_eq!((sweep.next_move(), sweep.next_of(&"a"), sweep.next_of(&"b")), (Move::Read, Some(0), Some(2)));
        sweep.set_room(&"a", true);
        assert_eq!(sweep.next_move(), Move::Read);
        sweep.reached_end(2);
        assert!(sweep.is_caught_up(&"b") && !sweep.is_caught_up(&"a"));
        assert_eq!(sweep.next_move(), Move::TurnBack(0));
        sweep.turned_back(0);
        assert_eq!((sweep.meet(&"a", 0), sweep.meet(&"b", 1)), (Meeting::Take, Meeting::Pass));
        assert_eq!(sweep.next_of(&"b"), Some(2));
    }

    #[test]
    fn it_turns_back_after_16_mib_with_somebody_behind() {
        let mut sweep = Sweep::new(0);
        sweep.enter("b", 0, true);
        sweep.passed(0, 1);
        sweep.enter("a", 0, true);
        sweep.passed(1, 16 * 1024 * 1024 - 1);
        assert_eq!(sweep.next_move(), Move::Read);
        sweep.passed(2, 1);
        assert_eq!(sweep.next_move(), Move::TurnBack(0));
    }

    #[test]
    fn what_was_forgotten_is_met_again() {
        let mut sweep = Sweep::new(0);
        sweep.enter("a", 0, true);
        (0..5).for_each(|offset| sweep.passed(offset, 1));
        sweep.send_back(&"a", 2);
        assert_eq!(sweep.next_move(), Move::TurnBack(2));
        sweep.turned_back(2);
        assert_eq!((sweep.meet(&"a", 2), sweep.next_of(&"a")), (Meeting::Take, Some(2)));
    }

    proptest! {
        /// Against a log whose records belong to four holders, with room that comes and goes: every record is taken
        /// by its holder exactly once and in order, and the reader comes to rest.
        #[test]
        fn every_record_is_taken_once(
            log in prop::collection::vec(0..5u8, 0..60),
            rooms in prop::collection::vec((0..4u8, any::<bool>()), 0..200),
        ) {
            let mut sweep = Sweep::new(0);
            (0..4u8).for_each(|holder| sweep.enter(holder, 0, holder != 1));
            let mut taken: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
            let mut at = 0_usize;
            let mut in_hand = false;
            let mut step = |sweep: &mut Sweep<u8>, taken: &mut BTreeMap<u8, Vec<usize>>| -> bool {
                match sweep.next_move() {
                    Move::Wait => false,
                    Move::TurnBack(offset) => {
                        sweep.turned_back(offset);
                        at = usize::try_from(offset).unwrap();
                        in_hand = false;
                        true
                    }
                    Move::Read if at == log.len() => {
                        let before = sweep.next_move();
                        sweep.reached_end(i64::try_from(at).unwrap());
                        before != sweep.next_move()
                    }
                    Move::Read => {
                        let offset = i64::try_from(at).unwrap();
                        match sweep.meet(&log[at], offset) {
                            Meeting::Take => {
                                taken.entry(log[at]).or_default().push(at);
                                sweep.passed(offset, 1);
                            }
                            Meeting::Pass => sweep.passed(offset, 1),
                            Meeting::NoRoom => sweep.let_go(&log[at], offset, 1),
                        }
                        at += 1;
                        true
                    }
                }
            };
            for (holder, room) in rooms {
                sweep.set_room(&holder, room);
                step(&mut sweep, &mut taken);
            }
            (0..4u8).for_each(|holder| sweep.set_room(&holder, true));
            let mut steps = 0;
            while step(&mut sweep, &mut taken) {
                steps += 1;
                prop_assert!(steps < 10_000, "the reader does not come to rest");
            }
            for holder in 0..4u8 {
                let own: Vec<usize> = (0..log.len()).filter(|at| log[*at] == holder).collect();
                prop_assert_eq!(taken.get(&holder).cloned().unwrap_or_default(), own);
                prop_assert!(sweep.is_caught_up(&holder));
            }
        }
    }
}
