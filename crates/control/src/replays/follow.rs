//! Watching a job.

use std::collections::VecDeque;

use postrider_domain::{JobId, replay::ReplayProgress};
use postrider_kafka::{Codec, CursorEvent, PartitionCursor, ProgressRecord, Record};

use super::ReplayError;

/// What is told of a job from some moment on.
#[derive(Debug)]
pub struct Following {
    pub(super) job: JobId,
    pub(super) cursor: PartitionCursor,
    pub(super) codec: Codec,
    /// What was known before.
    pub(super) known: VecDeque<ReplayProgress>,
}

impl Following {
    /// What is told next. Cancel-safe.
    pub async fn next(&mut self) -> Result<ReplayProgress, ReplayError> {
        if let Some(known) = self.known.pop_front() {
            return Ok(known);
        }
        loop {
            match self.cursor.next().await {
                Some(CursorEvent::Record(record)) => {
                    if let Some(progress) = progress_of(&self.codec, &record).filter(|it| it.job == self.job) {
                        return Ok(progress);
                    }
                }
                Some(CursorEvent::EndOfPartition { .. } | CursorEvent::OutOfRange { .. }) => {}
                None => return Err(ReplayError::Kafka("the reader of the progress topic ended".to_owned())),
            }
        }
    }
}

/// The progress that a record tells, if it does and can be read here.
pub(super) fn progress_of(codec: &Codec, record: &Record) -> Option<ReplayProgress> {
    match ProgressRecord::decode(codec, record.value.as_ref()?) {
        Ok(ProgressRecord::Progress(progress)) => Some(progress),
        Ok(ProgressRecord::MatchedFrom(_)) => None,
        Err(error) => {
            tracing::warn!(%error, offset = record.offset, "a record of the progress topic can't be read");
            None
        }
    }
}
