//! Redriving the dead-letter queue.

use postrider_domain::{
    Delivery, ErrorClass, JobId, TenantId, Timestamp,
    delivery_event::DeadLetter,
    replay::{DeadLetterMark, DeadLetterQuery, Mark, Marks, Standing, TooManyMarks, run_of},
};
use postrider_kafka::{Codec, DlqRecord, Record};
use serde_json::json;

use super::finding::{Finding, Trouble, Unmapped, Wanted};
use crate::matcher::{Composed, Planned};

/// Redrives one partition of the queue.
#[derive(Debug)]
pub(super) struct DeadLetters {
    pub job: JobId,
    pub tenant: Option<TenantId>,
    pub query: DeadLetterQuery,
    pub codec: Codec,
    /// What was dealt with in this partition when the job took it up: its whole rest was read for marks, beyond the
    /// job's own end too.
    pub marks: Marks,
}

impl DeadLetters {
    /// Takes note of a mark, if the record is one.
    pub(super) fn read_mark(&mut self, record: &Record) -> Result<(), Trouble> {
        let Some(value) = &record.value else { return Ok(()) };
        if let DlqRecord::Mark(mark) = DlqRecord::decode(&self.codec, value)? {
            self.marks.add(&mark)?;
        }
        Ok(())
    }

    /// What a record comes to.
    pub(super) fn look(&mut self, record: &Record, now: Timestamp) -> Result<Finding, Trouble> {
        let Some(value) = &record.value else { return Ok(Finding::Unwanted) };
        let letter = match DlqRecord::decode(&self.codec, value)? {
            DlqRecord::Letter(letter) if self.query.wants(self.tenant.as_ref(), &letter) => letter,
            DlqRecord::Letter(_) | DlqRecord::Mark(_) => return Ok(Finding::Unwanted),
        };
        Ok(self.redrive(letter, record, now)?)
    }

    fn redrive(&mut self, letter: DeadLetter, record: &Record, now: Timestamp) -> Result<Finding, TooManyMarks> {
        let delivery = &letter.delivery;
        match self.marks.take(&delivery.message_id, &delivery.run)? {
            Standing::Settled => return Ok(Finding::Unwanted),
            Standing::RedrivenHere => return Ok(Finding::Redriven),
            Standing::Open => {}
        }
        if letter.error == ErrorClass::PayloadTooLarge && delivery.body.is_empty() {
            return Ok(Finding::Unavailable);
        }
        let mark = DeadLetterMark {
            message_id: delivery.message_id.clone(),
            run: delivery.run.clone(),
            endpoint: delivery.endpoint.clone(),
            mark: Mark::Redriven,
            job: Some(self.job.clone()),
            at: now,
        };
        let sample = json!({
            "message_id": delivery.message_id,
            "run": delivery.run.to_string(),
            "endpoint": delivery.endpoint,
            "event_type": delivery.event_type,
            "error": letter.error.as_str(),
            "last_status": letter.last_status,
            "attempts": letter.attempts,
            "at": letter.at.to_rfc3339(),
        });
        let run = run_of(&self.job, record.partition, record.offset);
        let (delivery, traceparent) = (Delivery { run, ..letter.delivery }, letter.traceparent);
        if letter.error == ErrorClass::MappingFailed {
            return Ok(Finding::Unmapped(Box::new(Unmapped { sample, delivery, traceparent, mark })));
        }
        let deliveries = vec![Planned::Composed(Composed::Ready(delivery))];
        Ok(Finding::Wanted(Wanted { sample, deliveries, traceparent, mark: Some(mark) }))
    }
}
