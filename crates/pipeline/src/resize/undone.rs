//! What of an endpoint's held deliveries is not done, and where it stands once it was copied. Pure.

use std::collections::HashMap;

use postrider_domain::{
    EndpointId, Runs,
    endpoint_state::{BlockedKey, EndpointState, Holding},
};
use postrider_kafka::Record;

use crate::dispatcher::ORDERING_KEY_HEADER;

/// Who misses a held record: an endpoint, or one of its blocked keys.
pub(super) type Holder = (EndpointId, Option<String>);

/// What is not done of what is held, as the endpoints' last owners wrote it down.
#[derive(Debug)]
pub(super) struct Undone(HashMap<EndpointId, Open>);

#[derive(Debug)]
struct Open {
    position: i64,
    done: Runs,
    /// From where on.
    blocked: HashMap<String, i64>,
}

impl Undone {
    /// What these endpoints miss.
    pub(super) fn of<'a>(states: impl IntoIterator<Item = &'a EndpointState>) -> Self {
        let holding = states.into_iter().filter_map(|state| Some((state.endpoint.clone(), state.holding.as_ref()?)));
        Self(holding.map(|(endpoint, holding)| (endpoint, Open::of(holding))).collect())
    }

    /// Who misses the record; nobody, if it is done or its endpoint is not known to hold anything.
    pub(super) fn holder_of(&self, record: &Record) -> Option<Holder> {
        let endpoint = EndpointId::from_trusted(record.key_str()?);
        let open = self.0.get(&endpoint)?;
        let key = record.headers.get_str(ORDERING_KEY_HEADER);
        if let Some((key, from)) = key.and_then(|key| open.blocked.get_key_value(key)) {
            return (record.offset >= *from).then(|| (endpoint, Some(key.clone())));
        }
        (record.offset >= open.position && !open.done.contains(record.offset)).then_some((endpoint, None))
    }
}

impl Open {
    fn of(holding: &Holding) -> Self {
        // What can't be read is repeated, as a new owner would.
        let done = Runs::decode(holding.position, &holding.done).unwrap_or_default();
        let blocked = holding.blocked.iter().map(|key| (key.key.clone(), key.from_offset)).collect();
        Self { position: holding.position, done, blocked }
    }
}

/// Where copies stand: of each holder the first, and where each partition ends behind them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    first: HashMap<Holder, i64>,
    ends: HashMap<i32, i64>,
}

/// Copies of a partition came to stand in another order than they were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disordered;

impl Copies {
    /// The next copy is at this place; in the order in which the records were read.
    pub(super) fn add(&mut self, holder: Option<Holder>, partition: i32, offset: i64) -> Result<(), Disordered> {
        let end = self.ends.entry(partition).or_default();
        if offset < *end {
            return Err(Disordered);
        }
        *end = offset + 1;
        if let Some(holder) = holder {
            self.first.entry(holder).or_insert(offset);
        }
        Ok(())
    }

    /// An endpoint's state where `partition` is its home: what it holds begins with its first copy. A blocked key of
    /// which nothing was copied stays blocked: its head may be a delivery that was not held yet.
    pub(super) fn state(&self, state: EndpointState, partition: i32) -> EndpointState {
        let end = self.ends.get(&partition).copied().unwrap_or(0);
        let first_of = |key: Option<&str>| self.first.get(&(state.endpoint.clone(), key.map(str::to_owned))).copied();
        let moved = |holding: &Holding| {
            let first = first_of(None);
            let blocked = holding
                .blocked
                .iter()
                .map(|key| BlockedKey { from_offset: first_of(Some(&key.key)).unwrap_or(end), ..key.clone() });
            let blocked: Vec<BlockedKey> = blocked.collect();
            let is_over = first.is_none() && blocked.is_empty();
            let position = first.unwrap_or(end);
            (!is_over).then_some(Holding { position, done: Vec::new(), whole: holding.whole, blocked })
        };
        let holding = state.holding.as_ref().and_then(moved);
        EndpointState { holding, ..state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_come_to_stand_in_another_order_are_noticed() {
        let mut copies = Copies::default();
        assert_eq!(copies.add(None, 0, 5), Ok(()));
        assert_eq!(copies.add(None, 1, 2), Ok(()), "of another partition");
        assert_eq!(copies.add(None, 0, 6), Ok(()));
        assert_eq!(copies.add(None, 0, 4), Err(Disordered));
    }
}
