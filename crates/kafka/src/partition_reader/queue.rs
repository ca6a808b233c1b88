//! What was read ahead for one cursor, and what the cursor wants to be read.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cursor::{CursorEvent, StartAt};
use crate::Record;

/// Records that may be read ahead; past it nothing is fetched until half are taken.
const MAX_RECORDS: usize = 256;
/// Bytes that may be read ahead; past it nothing is fetched until half are taken.
const MAX_BYTES: usize = 1024 * 1024;

/// Counts how often fetching had to begin anew: what was fetched before is of no use.
pub(super) type Generation = u64;

/// The queue between a reader's thread and one cursor.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug)]
struct State {
    generation: Generation,
    /// Where fetching goes on: behind what is queued.
    next: StartAt,
    paused: bool,
    /// From when a bound is reached until half is taken.
    full: bool,
    closed: bool,
    events: VecDeque<CursorEvent>,
    bytes: usize,
}

/// What [`Queue::take`] finds.
pub(super) enum Next {
    Event { event: CursorEvent, has_room_again: bool },
    Nothing,
    Closed,
}

/// What is to be fetched for a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing, ever again.
    Closed,
    /// Nothing for now.
    Nothing,
    /// What comes from here on.
    From(Generation, StartAt),
}

impl Queue {
    pub(super) fn new(start: StartAt) -> Self {
        let state = State {
            generation: 0,
            next: start,
            paused: false,
            full: false,
            closed: false,
            events: VecDeque::new(),
            bytes: 0,
        };
        Self { state: Mutex::new(state), filled: Notify::new() }
    }

    /// Waits for an event or the end, whichever [`take`](Self::take) has not seen yet.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn take(&self) -> Next {
        let mut state = self.state.lock();
        match state.events.pop_front() {
            Some(event) => {
                state.bytes -= size(&event);
                let ample = state.events.len() <= MAX_RECORDS / 2 && state.bytes <= MAX_BYTES / 2;
                let has_room_again = state.full && ample;
                state.full &= !ample;
                Next::Event { event, has_room_again }
            }
            None if state.closed => Next::Closed,
            None => Next::Nothing,
        }
    }

    pub(super) fn seek(&self, offset: i64) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.next = StartAt::Offset(offset);
        state.events.clear();
        state.bytes = 0;
        state.full = false;
    }

    pub(super) fn set_paused(&self, paused: bool) {
        let mut state = self.state.lock();
        // A pause that is over before the thread has seen it still makes the end be told again.
        state.generation += u64::from(paused && !state.paused);
        state.paused = paused;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.lock().paused
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.events.clear();
        drop(state);
        self.filled.notify_one();
    }

    pub(super) fn wanted(&self) -> Wanted {
        let state = self.state.lock();
        match (state.closed, state.paused || state.full) {
            (true, _) => Wanted::Closed,
            (false, true) => Wanted::Nothing,
            (false, false) => Wanted::From(state.generation, state.next),
        }
    }

    /// A beginning or an end was looked up.
    pub(super) fn resolve(&self, generation: Generation, offset: i64) {
        let mut state = self.state.lock();
        if state.generation == generation && !matches!(state.next, StartAt::Offset(_)) {
            state.next = StartAt::Offset(offset);
        }
    }

    /// A record was fetched. Answers whether there is room for more.
    pub(super) fn push(&self, generation: Generation, record: Record) -> bool {
        let mut state = self.state.lock();
        let known = matches!(state.next, StartAt::Offset(next) if record.offset < next);
        if state.generation == generation && !known && !state.closed {
            state.next = StartAt::Offset(record.offset + 1);
            state.push(CursorEvent::Record(record));
            self.filled.notify_one();
        }
        !state.full
    }

    /// The end was reached.
    pub(super) fn push_end(&self, generation: Generation) {
        let mut state = self.state.lock();
        if let (true, false, StartAt::Offset(next_offset)) = (state.generation == generation, state.closed, state.next)
        {
            state.push(CursorEvent::EndOfPartition { next_offset });
            self.filled.notify_one();
        }
    }

    /// Goes on at `low` if what is fetched next is not within `low..=high`. Answers whether it did.
    pub(super) fn keep_within(&self, generation: Generation, low: i64, high: i64) -> bool {
        let mut state = self.state.lock();
        let StartAt::Offset(next) = state.next else { return false };
        if state.generation != generation || state.closed || (low..=high).contains(&next) {
            return false;
        }
        state.generation += 1;
        state.next = StartAt::Offset(low);
        state.push(CursorEvent::OutOfRange { resumed_at: low });
        self.filled.notify_one();
        true
    }
}

impl State {
    fn push(&mut self, event: CursorEvent) {
        self.bytes += size(&event);
        self.events.push_back(event);
        self.full |= self.events.len() >= MAX_RECORDS || self.bytes >= MAX_BYTES;
    }
}

fn size(event: &CursorEvent) -> usize {
    match event {
        CursorEvent::Record(record) => record.size(),
        CursorEvent::EndOfPartition { .. } | CursorEvent::OutOfRange { .. } => 0,
    }
}
