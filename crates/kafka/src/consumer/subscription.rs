//! Which topics match a pattern, looked up again and again: the client is always subscribed to topics by name, so that
//! a pattern means the same everywhere.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::context::Context;
use crate::TopicPattern;

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells `subscribe` the topics that match `pattern` whenever they are others than before, if any; forever, looking
/// every `interval`. While none matches any more, the last ones stay subscribed.
pub(super) async fn follow(
    consumer: Arc<BaseConsumer<Context>>,
    pattern: TopicPattern,
    interval: Duration,
    subscribe: impl Fn(Vec<String>),
) {
    let mut subscribed = Vec::new();
    loop {
        match matching(consumer.clone(), pattern.clone()).await {
            Ok(topics) if topics != subscribed && !topics.is_empty() => {
                subscribed.clone_from(&topics);
                subscribe(topics);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%pattern, error, "the topics that match can't be looked up; trying again"),
        }
        tokio::time::sleep(interval).await;
    }
}

async fn matching(consumer: Arc<BaseConsumer<Context>>, pattern: TopicPattern) -> Result<Vec<String>, String> {
    let look_up = move || {
        let metadata = consumer.fetch_metadata(None, LOOKUP_TIMEOUT)?;
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none() && pattern.matches(topic.name()));
        let mut topics: Vec<String> = topics.map(|topic| topic.name().to_owned()).collect();
        topics.sort_unstable();
        Ok::<_, KafkaError>(topics)
    };
    let answer = tokio::task::spawn_blocking(look_up).await.map_err(|error| error.to_string())?;
    answer.map_err(|error| error.to_string())
}
