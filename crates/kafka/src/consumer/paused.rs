//! Where paused partitions end: the client learns of ends by fetching, and of these it fetches nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::{runtime::Handle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    context::{Context, TopicPartition},
    out_of_range,
};

const INTERVAL: Duration = Duration::from_secs(5);

/// Looks the ends of paused partitions up now and then, for a member that shows its lag.
pub(super) struct PausedEnds {
    next: Instant,
}

impl PausedEnds {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now + INTERVAL }
    }

    /// Looks up where `paused` end, if it is time, off this thread.
    pub(super) fn look_up_if_due(
        &mut self,
        consumer: &Arc<BaseConsumer<Context>>,
        paused: impl Iterator<Item = TopicPartition>,
        now: Instant,
        (runtime, stop): (&Handle, &CancellationToken),
    ) {
        if now < self.next || !consumer.context().shows_lag() {
            return;
        }
        self.next = now + INTERVAL;
        let paused: Vec<TopicPartition> = paused.collect();
        if paused.is_empty() {
            consumer.context().end_at(HashMap::new());
            return;
        }
        let (consumer, stop) = (consumer.clone(), stop.clone());
        runtime.spawn(async move {
            let looked_up = stop.run_until_cancelled(out_of_range::look_up_once(&consumer, paused)).await;
            match looked_up {
                Some(Ok(ends)) => {
                    let ends = ends.into_iter().map(|ends| (ends.partition, ends.high));
                    consumer.context().end_at(ends.collect());
                }
                Some(Err(error)) => tracing::debug!(error, "the ends of paused partitions can't be looked up"),
                None => {}
            }
        });
    }
}
