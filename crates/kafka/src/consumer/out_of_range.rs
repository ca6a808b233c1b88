//! What partitions hold, when the client has said that a position is out of range but not which one.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::context::{Context, TopicPartition};

const PAUSE: Duration = Duration::from_millis(100);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);

/// A partition's first offset and the one that comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    pub partition: TopicPartition,
    pub low: i64,
    pub high: i64,
}

impl Ends {
    /// Where to go on that has come to `next`, and whether something is missed there.
    pub(super) fn go_on(&self, next: Option<i64>) -> (i64, bool) {
        match next {
            Some(next) if (self.low..=self.high).contains(&next) => (next, false),
            Some(_) => (self.low, true),
            None => (self.low, false),
        }
    }
}

/// Looks up the ends of `partitions`, however long that takes.
pub(super) async fn look_up(consumer: Arc<BaseConsumer<Context>>, partitions: Vec<TopicPartition>) -> Vec<Ends> {
    loop {
        // Not to ask at full speed where the brokers contradict themselves.
        tokio::time::sleep(PAUSE).await;
        match look_up_once(&consumer, partitions.clone()).await {
            Ok(ends) => return ends,
            Err(error) => tracing::warn!(error, "the ends of partitions can't be looked up; trying again"),
        }
    }
}

/// Looks up the ends of `partitions`. Error: no answer.
pub(super) async fn look_up_once(
    consumer: &Arc<BaseConsumer<Context>>,
    partitions: Vec<TopicPartition>,
) -> Result<Vec<Ends>, String> {
    let consumer = consumer.clone();
    let ends = tokio::task::spawn_blocking(move || {
        let ends = partitions.into_iter().map(|partition| {
            let (low, high) = consumer.fetch_watermarks(&partition.0, partition.1, WATERMARK_TIMEOUT)?;
            Ok(Ends { partition, low, high })
        });
        ends.collect::<Result<Vec<_>, KafkaError>>()
    });
    ends.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_position_outside_goes_to_the_earliest() {
        let ends = Ends { partition: ("t".to_owned(), 0), low: 10, high: 20 };
        for (next, expected) in
            [(9, (10, true)), (10, (10, false)), (15, (15, false)), (20, (20, false)), (21, (10, true))]
        {
            assert_eq!(ends.go_on(Some(next)), expected);
        }
        assert_eq!(ends.go_on(None), (10, false));
    }
}
