//! What a job looks for in the partition that it reads.

use postrider_domain::Timestamp;
use postrider_kafka::{Codec, DecodeError, PartitionCursor, Record};

use super::{
    backfill::Backfill,
    dead_letters::DeadLetters,
    finding::{Finding, Trouble},
    rejected::Rejected,
    table::next_before_end,
};

/// What a job looks for.
#[derive(Debug)]
pub(super) enum Reading {
    DeadLetters(Box<DeadLetters>),
    Rejected(Box<Rejected>),
    Backfill(Box<Backfill>),
}

impl Reading {
    /// What a record comes to, once its schema is known. Error: the job can't go on.
    pub(super) async fn look(&mut self, codec: &Codec, record: &Record, now: Timestamp) -> Result<Finding, String> {
        let letters = match self {
            Self::Rejected(rejected) => return Ok(rejected.look(record).await),
            Self::Backfill(backfill) => return Ok(backfill.look(record).await),
            Self::DeadLetters(letters) => letters,
        };
        loop {
            match letters.look(record, now) {
                Ok(finding) => return Ok(finding),
                Err(trouble) => {
                    if let Some(reason) = overcome(codec, trouble).await? {
                        return Ok(Finding::Corrupt(reason));
                    }
                }
            }
        }
    }
}

impl DeadLetters {
    /// Reads the marks up to the end. Corrupt bytes are none.
    pub(super) async fn read_marks(&mut self, cursor: &mut PartitionCursor) -> Result<(), String> {
        while let Some(record) = next_before_end(cursor).await? {
            while let Err(trouble) = self.read_mark(&record) {
                if overcome(&self.codec.clone(), trouble).await?.is_some() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Waits until a record can be looked at again. Answers why it never can, if so. Error: the job can't go on.
async fn overcome(codec: &Codec, trouble: Trouble) -> Result<Option<String>, String> {
    match trouble {
        Trouble::Decode(DecodeError::UnknownSchema(fingerprint)) => {
            codec.learned(fingerprint).await;
            Ok(None)
        }
        Trouble::Decode(DecodeError::Corrupt(reason)) => Ok(Some(reason)),
        Trouble::TooMany(error) => Err(error.to_string()),
    }
}
