//! Reading entries and what came of their redrives.

use chrono::{DateTime, Utc};
use postrider_domain::{EndpointId, ErrorClass, EventId, JobId, MessageId, TenantId, Timestamp, delivery::InvalidRun};
use sqlx::{Error, PgConnection};

use super::{DeadLetterRow, DeadLetterState};
use crate::{plans, undecodable};

/// The most entries of one message that are read.
const MAX_OF_MESSAGE: i64 = 100;

/// Which entries of a tenant to list or count; what is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only what became this.
    pub state: Option<DeadLetterState>,
    /// Only these messages.
    pub messages: Option<Vec<MessageId>>,
    /// Only of this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Only of exactly this event type.
    pub event_type: Option<String>,
    /// Only those that ended for this reason.
    pub error: Option<ErrorClass>,
    /// Only those that ended at or after this.
    pub since: Option<Timestamp>,
    /// Only those that ended before this.
    pub until: Option<Timestamp>,
    /// Only those that this replay delivered anew.
    pub job: Option<JobId>,
}

/// An entry's place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterKey {
    /// When it ended.
    pub died_at: Timestamp,
    /// Its message.
    pub message_id: String,
    /// Its run.
    pub run: String,
}

/// How many entries there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCount {
    /// Why they ended.
    pub error: String,
    /// What became of them.
    pub state: String,
    /// How many.
    pub count: i64,
    /// When the first of them ended.
    pub oldest_at: Timestamp,
}

/// What came of redriving the entries of one error class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveResult {
    /// Why they had ended.
    pub error: String,
    /// How many were delivered anew.
    pub redriven: i64,
    /// How many of those were answered with 2xx.
    pub delivered: i64,
    /// How many ended in the queue again.
    pub failed: i64,
}

/// A record, column for column.
struct Record {
    message_id: String,
    run: String,
    tenant_id: String,
    endpoint_id: String,
    event_id: String,
    event_type: String,
    attempts: i32,
    error: String,
    error_message: Option<String>,
    last_status: Option<i32>,
    matched_at: DateTime<Utc>,
    first_attempt_at: Option<DateTime<Utc>>,
    died_at: DateTime<Utc>,
    body_bytes: i64,
    log_partition: i32,
    log_offset: i64,
    state: String,
    job_id: Option<String>,
    settled_at: Option<DateTime<Utc>>,
}

impl TryFrom<Record> for DeadLetterRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        Ok(Self {
            message_id: MessageId::from_trusted(record.message_id),
            run: record.run.parse().map_err(|error: InvalidRun| undecodable("run", error))?,
            tenant: TenantId::from_trusted(record.tenant_id),
            endpoint: EndpointId::from_trusted(record.endpoint_id),
            event_id: EventId::from_trusted(record.event_id),
            event_type: record.event_type,
            attempts: record.attempts,
            error: record.error,
            error_message: record.error_message,
            last_status: record.last_status,
            matched_at: Timestamp::from_datetime(record.matched_at),
            first_attempt_at: record.first_attempt_at.map(Timestamp::from_datetime),
            died_at: Timestamp::from_datetime(record.died_at),
            body_bytes: record.body_bytes,
            log_partition: record.log_partition,
            log_offset: record.log_offset,
            // The table allows these three.
            state: match record.state.as_str() {
                "redriven" => DeadLetterState::Redriven,
                "purged" => DeadLetterState::Purged,
                _ => DeadLetterState::Open,
            },
            job: record.job_id.map(JobId::from_trusted),
            settled_at: record.settled_at.map(Timestamp::from_datetime),
        })
    }
}

/// The entries of `tenant` that pass `filter`, the latest first, from the one after `after`, at most `limit`.
///
/// To be called in a transaction, since it changes how this one plans: every filter is optional, and only a plan that
/// knows which ones are set uses the right index.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    filter: &DeadLetterFilter,
    after: Option<&DeadLetterKey>,
    limit: i64,
) -> Result<Vec<DeadLetterRow>, Error> {
    plans::by_value(conn).await?;
    let messages: Option<Vec<String>> =
        filter.messages.as_ref().map(|ids| ids.iter().map(ToString::to_string).collect());
    let records = sqlx::query_as!(
        Record,
        "SELECT * FROM dead_letters
         WHERE tenant_id = $1
             AND ($2::text IS NULL OR state = $2)
             AND ($3::text[] IS NULL OR message_id = ANY($3))
             AND ($4::text IS NULL OR endpoint_id = $4)
             AND ($5::text IS NULL OR event_type = $5)
             AND ($6::text IS NULL OR error = $6)
             AND ($7::timestamptz IS NULL OR died_at >= $7)
             AND ($8::timestamptz IS NULL OR died_at < $8)
             AND ($9::text IS NULL OR job_id = $9)
             AND ($10::timestamptz IS NULL OR (died_at, message_id, run) < ($10, $11, $12))
         ORDER BY died_at DESC, message_id DESC, run DESC
         LIMIT $13",
        tenant.as_str(),
        filter.state.map(DeadLetterState::as_str),
        messages.as_deref(),
        filter.endpoint.as_ref().map(EndpointId::as_str),
        filter.event_type,
        filter.error.map(ErrorClass::as_str),
        filter.since.map(Timestamp::to_datetime),
        filter.until.map(Timestamp::to_datetime),
        filter.job.as_ref().map(JobId::as_str),
        after.map(|key| key.died_at.to_datetime()),
        after.map(|key| key.message_id.clone()),
        after.map(|key| key.run.clone()),
        limit,
    )
    .fetch_all(conn)
    .await?;
    records.into_iter().map(TryInto::try_into).collect()
}

/// The entries of one message of `tenant`, the earliest first, at most 100.
pub async fn of_message(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
) -> Result<Vec<DeadLetterRow>, Error> {
    let records = sqlx::query_as!(
        Record,
        "SELECT * FROM dead_letters WHERE tenant_id = $1 AND message_id = $2 ORDER BY died_at, run LIMIT $3",
        tenant.as_str(),
        message.as_str(),
        MAX_OF_MESSAGE,
    )
    .fetch_all(conn)
    .await?;
    records.into_iter().map(TryInto::try_into).collect()
}

/// How many entries of `tenant` pass `filter`, by why they ended and what became of them. To be called in a transaction,
/// as [`list`].
pub async fn count(
    conn: &mut PgConnection,
    tenant: &TenantId,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetterCount>, Error> {
    plans::by_value(conn).await?;
    let messages: Option<Vec<String>> =
        filter.messages.as_ref().map(|ids| ids.iter().map(ToString::to_string).collect());
    let records = sqlx::query!(
        r#"SELECT error, state, count(*) AS "count!", min(died_at) AS "oldest_at!" FROM dead_letters
         WHERE tenant_id = $1
             AND ($2::text IS NULL OR state = $2)
             AND ($3::text[] IS NULL OR message_id = ANY($3))
             AND ($4::text IS NULL OR endpoint_id = $4)
             AND ($5::text IS NULL OR event_type = $5)
             AND ($6::text IS NULL OR error = $6)
             AND ($7::timestamptz IS NULL OR died_at >= $7)
             AND ($8::timestamptz IS NULL OR died_at < $8)
             AND ($9::text IS NULL OR job_id = $9)
         GROUP BY error, state
         ORDER BY 3 DESC, error, state"#,
        tenant.as_str(),
        filter.state.map(DeadLetterState::as_str),
        messages.as_deref(),
        filter.endpoint.as_ref().map(EndpointId::as_str),
        filter.event_type,
        filter.error.map(ErrorClass::as_str),
        filter.since.map(Timestamp::to_datetime),
        filter.until.map(Timestamp::to_datetime),
        filter.job.as_ref().map(JobId::as_str),
    )
    .fetch_all(conn)
    .await?;
    let counts = records.into_iter().map(|record| DeadLetterCount {
        error: record.error,
        state: record.state,
        count: record.count,
        oldest_at: Timestamp::from_datetime(record.oldest_at),
    });
    Ok(counts.collect())
}

/// What came of the redrives of `tenant`'s entries between `since` and `until` (and of this replay, if one is named), by
/// why the entries had ended. What is neither delivered nor failed is under way, or was ended otherwise.
pub async fn redrive_results(
    conn: &mut PgConnection,
    tenant: &TenantId,
    since: Timestamp,
    until: Timestamp,
    job: Option<&JobId>,
) -> Result<Vec<RedriveResult>, Error> {
    plans::by_value(conn).await?;
    let records = sqlx::query!(
        r#"SELECT letter.error AS "error!", count(*) AS "redriven!",
             count(*) FILTER (WHERE redrive.status = 'delivered') AS "delivered!",
             count(*) FILTER (WHERE redrive.status = 'failed') AS "failed!"
         FROM dead_letters AS letter
         LEFT JOIN LATERAL (
             SELECT status FROM deliveries
             WHERE tenant_id = letter.tenant_id AND message_id = letter.message_id
                 AND starts_with(run, letter.job_id || ':')
             ORDER BY updated_at DESC LIMIT 1
         ) AS redrive ON true
         WHERE letter.tenant_id = $1 AND letter.state = 'redriven'
             AND letter.settled_at >= $2 AND letter.settled_at < $3
             AND ($4::text IS NULL OR letter.job_id = $4)
         GROUP BY letter.error
         ORDER BY 2 DESC, 1"#,
        tenant.as_str(),
        since.to_datetime(),
        until.to_datetime(),
        job.map(JobId::as_str),
    )
    .fetch_all(conn)
    .await?;
    let results = records.into_iter().map(|record| RedriveResult {
        error: record.error,
        redriven: record.redriven,
        delivered: record.delivered,
        failed: record.failed,
    });
    Ok(results.collect())
}
