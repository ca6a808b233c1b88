//! Where a newly assigned partition starts to be read.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use super::context::{Context, TopicPartition};
use crate::window::{self, CommitMetadata};

/// Where a stage keeps its positions.
#[derive(Clone)]
pub enum Positions {
    /// In the group's committed offsets.
    Committed,
    /// Elsewhere: the offsets are asked for at every assignment, and commits only show the lag.
    External(Arc<dyn PositionSource>),
}

impl Positions {
    /// Whether they are the group's committed offsets.
    pub(super) fn are_committed(&self) -> bool {
        matches!(self, Self::Committed)
    }
}

/// Positions that are kept elsewhere than in Kafka.
pub trait PositionSource: Send + Sync {
    /// The next offset to read of each of `partitions`; those without one are left out and start at the
    /// earliest. An error is asked again after a pause.
    fn next_offsets(&self, topic: String, partitions: Vec<i32>) -> BoxFuture<'_, Result<HashMap<i32, i64>, String>>;
}

/// Where one partition starts.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub partition: TopicPartition,
    pub window: window::Start,
}

impl Start {
    /// As the client wants it.
    pub(super) fn offset(&self) -> Offset {
        self.window.offset.map_or(Offset::Beginning, Offset::Offset)
    }
}

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Finds where `partitions` start, and those of the same numbers in the companion topic, however long that takes.
pub(super) async fn find(
    consumer: Arc<BaseConsumer<Context>>,
    positions: Positions,
    companion: Option<String>,
    partitions: Vec<TopicPartition>,
) -> Vec<Start> {
    loop {
        let found = match &positions {
            Positions::Committed => committed(consumer.clone(), companion.clone(), partitions.clone()).await,
            Positions::External(source) => external(&**source, &partitions).await,
        };
        match found {
            Ok(starts) => return starts,
            Err(error) => {
                tracing::warn!(%error, "the positions of newly assigned partitions can't be read; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

async fn committed(
    consumer: Arc<BaseConsumer<Context>>,
    companion: Option<String>,
    partitions: Vec<TopicPartition>,
) -> Result<Vec<Start>, String> {
    let look_up = move || {
        let mut list = TopicPartitionList::with_capacity(partitions.len() * 2);
        for (topic, partition) in &partitions {
            list.add_partition(topic, *partition);
            if let Some(companion) = &companion {
                list.add_partition(companion, *partition);
            }
        }
        let found = consumer.committed_offsets(list, LOOKUP_TIMEOUT).map_err(|error| error.to_string())?;
        let committed: HashMap<TopicPartition, (Option<i64>, String)> = found
            .elements()
            .iter()
            .map(|element| {
                element.error().map_err(|error| error.to_string())?;
                let offset = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                Ok(((element.topic().to_owned(), element.partition()), (offset, element.metadata().to_owned())))
            })
            .collect::<Result<_, String>>()?;
        let companion_of = |partition: i32| committed.get(&(companion.clone()?, partition))?.0;
        Ok(partitions
            .into_iter()
            .map(|partition| {
                let (offset, metadata) = committed.get(&partition).cloned().unwrap_or_default();
                let window = start(&partition, offset, &metadata, companion_of(partition.1));
                Start { partition, window }
            })
            .collect())
    };
    tokio::task::spawn_blocking(look_up).await.map_err(|error| error.to_string())?
}

fn start(
    (topic, partition): &TopicPartition,
    offset: Option<i64>,
    metadata: &str,
    companion: Option<i64>,
) -> window::Start {
    let parsed = offset.map_or(Ok(Default::default()), |offset| CommitMetadata::parse(metadata, offset));
    let (metadata, done) = parsed.unwrap_or_else(|error| {
        tracing::warn!(%error, topic, partition, "ignored");
        Default::default()
    });
    window::Start { offset, done, metadata, companion, is_ahead: false }
}

async fn external(source: &dyn PositionSource, partitions: &[TopicPartition]) -> Result<Vec<Start>, String> {
    let mut by_topic: HashMap<&str, Vec<i32>> = HashMap::new();
    for (topic, partition) in partitions {
        by_topic.entry(topic).or_default().push(*partition);
    }
    let mut starts = Vec::with_capacity(partitions.len());
    for (topic, partitions) in by_topic {
        let offsets = source.next_offsets(topic.to_owned(), partitions.clone()).await?;
        starts.extend(partitions.into_iter().map(|partition| Start {
            partition: (topic.to_owned(), partition),
            window: window::Start { offset: offsets.get(&partition).copied(), ..window::Start::default() },
        }));
    }
    Ok(starts)
}
