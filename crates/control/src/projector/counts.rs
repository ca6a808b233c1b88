//! What a batch of events adds to the counts.

use std::collections::BTreeMap;

use postrider_domain::{
    DeliveryEvent, EndpointId, TenantId, Timestamp, delivery_event::HeldRange, rollup::Grain, tally::Tally,
};
use postrider_postgres::rollups::Delta;

use super::rows::storable;

/// What was counted, record by record: which of them are written is known only when they are.
#[derive(Debug, Default)]
pub struct Counts(Vec<(i64, Key, Tally)>);

/// Tenant, endpoint, event type and the minute's beginning.
type Key = (TenantId, EndpointId, String, Timestamp);

impl Counts {
    /// Counts an event that was read at `offset`.
    pub fn add(&mut self, offset: i64, event: &DeliveryEvent) {
        let mut tally = Tally::default();
        tally.count(event);
        if !tally.is_empty() {
            let event_type = storable(event.event_type.clone());
            let key = (event.tenant.clone(), event.endpoint.clone(), event_type, Grain::Minute.floor(event.at));
            self.0.push((offset, key, tally));
        }
    }

    /// Counts the end of many held deliveries, read at `offset`. Nothing says what types they had.
    pub fn add_range(&mut self, offset: i64, range: &HeldRange) {
        let mut tally = Tally::default();
        tally.count_range(range);
        if !tally.is_empty() {
            let key = (range.tenant.clone(), range.endpoint.clone(), String::new(), Grain::Minute.floor(range.at));
            self.0.push((offset, key, tally));
        }
    }

    /// What the records from offset `first` on come to: somebody else may have counted those before.
    pub fn since(&self, first: i64) -> Vec<Delta> {
        let mut merged: BTreeMap<&Key, Tally> = BTreeMap::new();
        for (_, key, tally) in self.0.iter().filter(|(offset, ..)| *offset >= first) {
            merged.entry(key).or_default().merge(tally);
        }
        let delta = |((tenant, endpoint, event_type, minute), tally): (&Key, Tally)| Delta {
            tenant: tenant.clone(),
            endpoint: endpoint.clone(),
            event_type: event_type.clone(),
            minute: *minute,
            tally,
        };
        merged.into_iter().map(delta).collect()
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::delivery_event::RangeReason;

    use super::*;

    fn range(endpoint: &str, at: i64) -> HeldRange {
        HeldRange {
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted(endpoint),
            partition: 0,
            from: 0,
            to: 10,
            reason: RangeReason::Skipped,
            count: 10,
            at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn counts_are_by_endpoint_and_minute_and_of_records_that_nobody_else_has_counted() {
        let mut counts = Counts::default();
        for (offset, endpoint, at) in [(5, "ep_1", 0), (6, "ep_1", 59_999), (7, "ep_1", 60_000), (8, "ep_2", 1)] {
            counts.add_range(offset, &range(endpoint, at));
        }
        let found = |first| -> Vec<(String, i64, u64)> {
            let deltas = counts.since(first).into_iter();
            deltas.map(|delta| (delta.endpoint.to_string(), delta.minute.as_millis(), delta.tally.skipped)).collect()
        };
        let of = |endpoint: &str, minute, count| (endpoint.to_owned(), minute, count);
        assert_eq!(found(0), [of("ep_1", 0, 20), of("ep_1", 60_000, 10), of("ep_2", 0, 10)]);
        assert_eq!(found(6), [of("ep_1", 0, 10), of("ep_1", 60_000, 10), of("ep_2", 0, 10)]);
        assert_eq!(found(9), []);
    }
}
