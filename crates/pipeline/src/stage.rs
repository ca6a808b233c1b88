//! What the stages have in common: a task per assigned partition.

use std::{any::Any, future::Future};

use postrider_kafka::{Inbound, Layout, PartitionStream, ProduceError, StageConsumer};
use tokio::task::{JoinError, JoinSet};

use crate::directory::Directory;

/// Why a stage ends although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It could not begin to read.
    #[error("can't read its topics: {0}")]
    Start(String),
    /// Another process took a partition's state over, and the group still gives the partition to this one.
    #[error("the state of partition {0} was taken over by a process that does not own it: end that process")]
    Replaced(i32),
    /// What it has to write will never be written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
}

/// Runs `work` for each partition that is assigned, until the consumer's shutdown or the first error. A partition is
/// worked on only if the generation of topics that this process knows was in use after it was assigned: whoever moves
/// everything to another one has first seen that no group has members.
pub(crate) async fn for_each_partition<F>(
    mut consumer: StageConsumer,
    layout: Layout,
    work: impl Fn(PartitionStream) -> F,
) -> Result<(), StageError>
where
    F: Future<Output = Result<(), StageError>> + Send + 'static,
{
    let mut partitions = JoinSet::new();
    loop {
        tokio::select! {
            stream = consumer.next_partition() => match stream {
                Some(stream) => {
                    let (layout, stopped) = (layout.clone(), stream.stopped());
                    let work = work(stream);
                    partitions.spawn(async move {
                        match stopped.run_until_cancelled(layout.is_surely_in_use()).await {
                            Some(Ok(true)) => work.await,
                            Some(Ok(false)) | None => Ok(()),
                            Some(Err(error)) => Err(error.into()),
                        }
                    });
                }
                None => break,
            },
            Some(ended) = partitions.join_next() => result_of(ended)?,
        }
    }
    while let Some(ended) = partitions.join_next().await {
        result_of(ended)?;
    }
    consumer.closed().await;
    Ok(())
}

/// Runs parts of a stage beside each other, until all have ended or the first has failed.
pub(crate) async fn run_all<F>(parts: impl IntoIterator<Item = F>) -> Result<(), StageError>
where
    F: Future<Output = Result<(), StageError>> + Send + 'static,
{
    let mut parts: JoinSet<_> = parts.into_iter().collect();
    while let Some(ended) = parts.join_next().await {
        result_of(ended)?;
    }
    Ok(())
}

/// A panic in a task goes on in the stage.
pub(crate) fn result_of<T, E>(ended: Result<Result<T, E>, JoinError>) -> Result<T, E> {
    ended.unwrap_or_else(|error| {
        let panic: Box<dyn Any + Send> = error.into_panic();
        std::panic::resume_unwind(panic)
    })
}

/// The partition's next record, taken only while the directory is complete; none once the partition is
/// revoked or the process stops. Cancel-safe.
pub(crate) async fn next(directory: &Directory, stream: &mut PartitionStream) -> Option<Inbound> {
    if !directory.can_work() {
        stream.stopped().run_until_cancelled(directory.wait_until_working()).await?;
    }
    stream.next().await
}
