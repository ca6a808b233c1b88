//! Writing what the projector read.

use chrono::{DateTime, Utc};
use postrider_domain::{EndpointId, JobId, MessageId, Run, Timestamp};
use sqlx::{Error, PgConnection};

use super::{DeadLetterRow, DeadLetterState};

/// That an entry was dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMark {
    /// The entry's message.
    pub message_id: MessageId,
    /// Its run.
    pub run: Run,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// What was done.
    pub state: DeadLetterState,
    /// By which replay.
    pub job: Option<JobId>,
    /// When.
    pub at: Timestamp,
}

/// Adds entries. One that is there already stays as it is: the queue can hold it twice.
pub async fn insert(conn: &mut PgConnection, rows: &[DeadLetterRow]) -> Result<(), Error> {
    let texts = |of: fn(&DeadLetterRow) -> String| rows.iter().map(of).collect::<Vec<String>>();
    let times = |of: fn(&DeadLetterRow) -> Timestamp| rows.iter().map(|row| of(row).to_datetime()).collect::<Vec<_>>();
    let first_attempts: Vec<Option<DateTime<Utc>>> =
        rows.iter().map(|row| row.first_attempt_at.map(Timestamp::to_datetime)).collect();
    let messages: Vec<Option<String>> = rows.iter().map(|row| row.error_message.clone()).collect();
    let statuses: Vec<Option<i32>> = rows.iter().map(|row| row.last_status).collect();
    sqlx::query!(
        "INSERT INTO dead_letters
             (message_id, run, tenant_id, endpoint_id, event_id, event_type, attempts, error, error_message,
              last_status, matched_at, first_attempt_at, died_at, body_bytes, log_partition, log_offset, state)
         SELECT it.*, 'open'
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[],
              $9::text[], $10::integer[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::bigint[],
              $15::integer[], $16::bigint[]) AS it
         ON CONFLICT (message_id, run) DO NOTHING",
        &texts(|row| row.message_id.to_string()),
        &texts(|row| row.run.to_string()),
        &texts(|row| row.tenant.to_string()),
        &texts(|row| row.endpoint.to_string()),
        &texts(|row| row.event_id.as_str().to_owned()),
        &texts(|row| row.event_type.clone()),
        &rows.iter().map(|row| row.attempts).collect::<Vec<_>>(),
        &texts(|row| row.error.clone()),
        &messages as &[Option<String>],
        &statuses as &[Option<i32>],
        &times(|row| row.matched_at),
        &first_attempts as &[Option<DateTime<Utc>>],
        &times(|row| row.died_at),
        &rows.iter().map(|row| row.body_bytes).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.log_partition).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.log_offset).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes note that entries were dealt with. The first mark of an entry stays; one of an entry that is not there is none.
pub async fn mark(conn: &mut PgConnection, marks: &[NewMark]) -> Result<(), Error> {
    let jobs: Vec<Option<String>> = marks.iter().map(|mark| mark.job.as_ref().map(ToString::to_string)).collect();
    sqlx::query!(
        "UPDATE dead_letters SET state = it.state, job_id = it.job_id, settled_at = it.at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
             AS it (message_id, run, endpoint_id, state, job_id, at)
         WHERE dead_letters.message_id = it.message_id AND dead_letters.run = it.run
             AND dead_letters.endpoint_id = it.endpoint_id AND dead_letters.state = 'open'",
        &marks.iter().map(|mark| mark.message_id.to_string()).collect::<Vec<_>>(),
        &marks.iter().map(|mark| mark.run.to_string()).collect::<Vec<_>>(),
        &marks.iter().map(|mark| mark.endpoint.to_string()).collect::<Vec<_>>(),
        &marks.iter().map(|mark| mark.state.as_str().to_owned()).collect::<Vec<_>>(),
        &jobs as &[Option<String>],
        &marks.iter().map(|mark| mark.at.to_datetime()).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets up to 10,000 entries that ended before `before`: the queue has dropped them.
pub async fn forget_before(conn: &mut PgConnection, before: Timestamp) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM dead_letters WHERE (message_id, run) IN (
             SELECT message_id, run FROM dead_letters WHERE died_at < $1 ORDER BY died_at LIMIT 10000
         )",
        before.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
