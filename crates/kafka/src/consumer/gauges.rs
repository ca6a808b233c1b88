//! What the metrics say about an assigned partition.

use metrics::{Gauge, gauge};
use tokio::time::Instant;

use crate::window::{PrefixAge, SharedWindow};

/// The gauges of one partition. All are zero once it is given up.
pub(super) struct Gauges {
    prefix_age_seconds: Gauge,
    span_offsets: Gauge,
    in_flight: Gauge,
    age: PrefixAge,
}

impl Gauges {
    pub(super) fn new(group: &str, topic: &str, partition: i32) -> Self {
        let labels = [("group", group.to_owned()), ("topic", topic.to_owned()), ("partition", partition.to_string())];
        Self {
            prefix_age_seconds: gauge!("postrider_window_prefix_age_seconds", &labels),
            span_offsets: gauge!("postrider_window_span_offsets", &labels),
            in_flight: gauge!("postrider_window_in_flight", &labels),
            age: PrefixAge::default(),
        }
    }

    /// To be called about once a second.
    #[expect(clippy::cast_precision_loss, reason = "a gauge need not be exact past 2^53")]
    pub(super) fn update(&mut self, window: &SharedWindow, now: Instant) {
        let (prefix, next) = (window.prefix().unwrap_or(0), window.next().unwrap_or(0));
        self.prefix_age_seconds.set(self.age.sample(now, prefix, next).as_secs_f64());
        self.span_offsets.set(window.span() as f64);
        self.in_flight.set(window.outstanding() as f64);
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        for gauge in [&self.prefix_age_seconds, &self.span_offsets, &self.in_flight] {
            gauge.set(0.0);
        }
    }
}
