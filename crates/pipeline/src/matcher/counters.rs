//! What is counted of a source.

use metrics::Counter;

/// The counters of one source.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) records: Counter,
    pub(super) matched: Counter,
    pub(super) unmatched: Counter,
    pub(super) rejected: Counter,
    pub(super) empty: Counter,
    pub(super) duplicate: Counter,
    pub(super) deliveries: Counter,
}

impl Counters {
    pub(super) fn new(source: &str) -> Self {
        let events = |outcome: &'static str| metrics::counter!("postrider_matcher_events_total", "source" => source.to_owned(), "outcome" => outcome);
        Self {
            records: metrics::counter!("postrider_source_records_total", "source" => source.to_owned()),
            matched: events("matched"),
            unmatched: events("unmatched"),
            rejected: events("rejected"),
            empty: events("empty"),
            duplicate: events("duplicate"),
            deliveries: metrics::counter!("postrider_matcher_deliveries_total", "source" => source.to_owned()),
        }
    }
}
