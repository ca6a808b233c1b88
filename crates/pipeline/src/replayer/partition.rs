//! One partition of jobs, from its assignment to its revocation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use postrider_domain::{JobId, replay::ReplayJob};
use postrider_kafka::{DecodeError, Inbound, PartitionStream, ProgressRecord, Record, Sink, StartAt};

use super::{
    jobs::Jobs,
    logs::{LogReader as _, Logs},
    shared::Shared,
    table::{decoded, next_before_end},
};
use crate::stage::StageError;

/// Works on the jobs of a partition until it is revoked or the process stops.
pub(super) async fn serve<S: Sink, L: Logs>(
    shared: Arc<Shared<S, L>>,
    mut stream: PartitionStream,
) -> Result<(), StageError> {
    // The last record stays unsettled for as long as the partition is ours: so a revoke waits until the jobs have
    // stopped, and every owner is handed at least that one. Before it there is no job to work on.
    let Some(Inbound { record, token }) = stream.next().await else { return Ok(()) };
    let mut last = token;
    let restored = stream.stopped().run_until_cancelled(restore(shared.clone(), stream.partition())).await;
    let Some(restored) = restored else { return Ok(()) };
    let (mut jobs, known) = restored.map_err(StageError::Start)?;
    take(&shared, &mut jobs, &record, known).await?;
    loop {
        jobs.act().await?;
        tokio::select! {
            ended = jobs.task_ended() => ended?,
            inbound = stream.next() => match inbound {
                Some(Inbound { record, token }) => {
                    take(&shared, &mut jobs, &record, known).await?;
                    std::mem::replace(&mut last, token).settle();
                }
                None => break,
            }
        }
    }
    jobs.let_go().await?;
    drop(last);
    Ok(())
}

/// Takes a record of the jobs topic; below `known` its content was read before, and only what can't be read is left
/// to do: it is rejected.
async fn take<S: Sink, L: Logs>(
    shared: &Shared<S, L>,
    jobs: &mut Jobs<S, L>,
    record: &Record,
    known: i64,
) -> Result<(), StageError> {
    let Some(value) = &record.value else { return Ok(()) };
    let codec = shared.layout.codec();
    loop {
        match codec.decode::<ReplayJob>(value) {
            Ok(job) => {
                if record.offset >= known {
                    jobs.desire(job);
                }
                return Ok(());
            }
            Err(DecodeError::UnknownSchema(fingerprint)) => codec.learned(fingerprint).await,
            Err(DecodeError::Corrupt(reason)) => {
                shared.reject(record, &reason).await?;
                return Ok(());
            }
        }
    }
}

/// The jobs of a partition and where they stand, and the offset up to which it was read for that.
async fn restore<S: Sink, L: Logs>(shared: Arc<Shared<S, L>>, partition: i32) -> Result<(Jobs<S, L>, i64), String> {
    let codec = shared.layout.codec().clone();
    let mut cursor = shared.logs.reader(&shared.topics.jobs())?.open(partition, StartAt::Beginning);
    let (mut desired, mut known) = (BTreeMap::<JobId, ReplayJob>::new(), 0);
    while let Some(record) = next_before_end(&mut cursor).await? {
        known = record.offset + 1;
        match &record.value {
            Some(value) => {
                if let Some(job) = decoded(&codec, || codec.decode::<ReplayJob>(value)).await {
                    desired.insert(job.id.clone(), job);
                }
            }
            None => {
                if let Some(id) = record.key_str() {
                    desired.remove(&JobId::from_trusted(id));
                }
            }
        }
    }
    drop(cursor);
    let mut jobs = Jobs::new(shared.clone());
    for job in desired.into_values() {
        jobs.desire(job);
    }
    let progress = shared.topics.progress();
    let places: BTreeSet<i32> = jobs.ids().map(|id| shared.layout.partition(&progress, id.as_str())).collect();
    let reader = shared.logs.reader(&progress)?;
    let mut latest = BTreeMap::new();
    for place in places {
        let mut cursor = reader.open(place, StartAt::Beginning);
        while let Some(record) = next_before_end(&mut cursor).await? {
            let Some(value) = &record.value else { continue };
            let decoded = decoded(&codec, || ProgressRecord::decode(&codec, value)).await;
            if let Some(ProgressRecord::Progress(progress)) = decoded {
                latest.insert(progress.job.clone(), progress);
            }
        }
    }
    for progress in latest.into_values() {
        jobs.stands(progress);
    }
    Ok((jobs, known))
}
