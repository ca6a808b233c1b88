//! Reading the log.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use postrider_domain::{
    DeliveryKind, EndpointId, EventId, MessageId, Run, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
    delivery::{Header, InvalidRun},
    delivery_event::Phases,
    rollup::Grain,
};
use sqlx::{Error, PgConnection, types::Json};

use super::{AttemptRow, DeliveryRow, DeliveryStatus, HeldAt, UnknownStatus, write::column};
use crate::undecodable;

/// The most runs of one message that are read at once.
const MAX_RUNS: i64 = 100;

/// The most attempts of one message that are read at once.
const MAX_ATTEMPTS: i64 = 500;

/// How far the live runs of these messages of `tenant` have come, as far as they are logged.
pub async fn live_statuses(
    conn: &mut PgConnection,
    tenant: &TenantId,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, DeliveryStatus>, Error> {
    let rows = sqlx::query!(
        "SELECT message_id, status FROM deliveries WHERE tenant_id = $1 AND run = '0' AND message_id = ANY($2)",
        tenant.as_str(),
        &column(messages, MessageId::as_str) as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let decode = |status: String| status.parse().map_err(|e: UnknownStatus| undecodable("status", e));
    rows.into_iter().map(|row| Ok((MessageId::from_trusted(row.message_id), decode(row.status)?))).collect()
}

/// One run of a message of `tenant`.
pub async fn get(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
    run: &Run,
) -> Result<Option<DeliveryRow>, Error> {
    let row = sqlx::query_as!(
        StoredDelivery,
        "SELECT message_id, run, tenant_id, endpoint_id, subscription_id, event_id, event_type, kind, source_topic,
             source_partition, source_offset, status, rank, held_partition, held_offset, attempt, last_status, last_error,
             last_error_message, next_attempt_at, matched_at, updated_at, payload_topic, payload_partition,
             payload_offset
         FROM deliveries
         WHERE tenant_id = $1 AND message_id = $2 AND run = $3",
        tenant.as_str(),
        message.as_str(),
        run.to_string(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(StoredDelivery::decode).transpose()
}

/// The runs of one message of `tenant`, the live one first, at most 100; empty if there is no such message.
///
/// In the order of an expression that no index has: a plan that does not know the message would walk through all of the
/// tenant's deliveries in the order of time to find it.
pub async fn runs_of(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
) -> Result<Vec<DeliveryRow>, Error> {
    let rows = sqlx::query_as!(
        StoredDelivery,
        "SELECT message_id, run, tenant_id, endpoint_id, subscription_id, event_id, event_type, kind, source_topic,
             source_partition, source_offset, status, rank, held_partition, held_offset, attempt, last_status, last_error,
             last_error_message, next_attempt_at, matched_at, updated_at, payload_topic, payload_partition,
             payload_offset
         FROM deliveries
         WHERE tenant_id = $1 AND message_id = $2
         ORDER BY matched_at + interval '0 s', run
         LIMIT $3",
        tenant.as_str(),
        message.as_str(),
        MAX_RUNS
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredDelivery::decode).collect()
}

/// The attempts of all runs of one message of `tenant`, in the order in which they were made; the last 500
/// if there are more.
pub async fn attempts_of(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
) -> Result<Vec<AttemptRow>, Error> {
    let rows = sqlx::query_as!(
        StoredAttempt,
        r#"SELECT message_id, run, log_partition, log_offset, tenant_id, attempt, started_at, duration_us, status,
             error, error_message, response_excerpt, request_headers AS "request_headers: Json<Pairs>",
             response_headers AS "response_headers: Json<Pairs>", dns_us, connect_us, tls_us, wait_us
         FROM delivery_attempts
         WHERE tenant_id = $1 AND message_id = $2
         ORDER BY started_at DESC, log_offset DESC
         LIMIT $3"#,
        tenant.as_str(),
        message.as_str(),
        MAX_ATTEMPTS
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().rev().map(StoredAttempt::decode).collect()
}

/// Which of the runs of `rows` are stored, and when they are said to have been matched: not far from when their row here
/// says so, if not just then, since a crash has a delivery matched twice, a little later. So it is looked into the
/// partitions of the days around.
pub async fn known_runs(
    conn: &mut PgConnection,
    rows: &[&DeliveryRow],
) -> Result<HashMap<(MessageId, Run), Timestamp>, Error> {
    let mut by_day: BTreeMap<Timestamp, Vec<&DeliveryRow>> = BTreeMap::new();
    for row in rows {
        by_day.entry(Grain::Day.floor(row.matched_at)).or_default().push(row);
    }
    let mut known = HashMap::new();
    for (day, rows) in by_day {
        let found = sqlx::query!(
            "SELECT known.message_id, known.run, known.matched_at
             FROM unnest($1::text[], $2::text[]) AS wanted (message_id, run)
             JOIN deliveries AS known ON known.message_id = wanted.message_id AND known.run = wanted.run
                 AND known.matched_at >= $3 AND known.matched_at < $4",
            &column(&rows, |row| row.message_id.as_str()) as &[&str],
            &column(&rows, |row| row.run.to_string()),
            (day - Grain::Day.length()).to_datetime(),
            (day + Grain::Day.length() * 2).to_datetime(),
        )
        .fetch_all(&mut *conn)
        .await?;
        for row in found {
            let run = (MessageId::from_trusted(row.message_id), decode_run(&row.run)?);
            known.insert(run, Timestamp::from_datetime(row.matched_at));
        }
    }
    Ok(known)
}

/// A row of `deliveries` as Postgres has it.
pub(super) struct StoredDelivery {
    pub message_id: String,
    pub run: String,
    pub tenant_id: String,
    pub endpoint_id: String,
    pub subscription_id: String,
    pub event_id: String,
    pub event_type: String,
    pub kind: String,
    pub source_topic: String,
    pub source_partition: i32,
    pub source_offset: i64,
    pub status: String,
    pub rank: i16,
    pub held_partition: Option<i32>,
    pub held_offset: Option<i64>,
    pub attempt: i32,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    pub last_error_message: Option<String>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub matched_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub payload_topic: Option<String>,
    pub payload_partition: Option<i32>,
    pub payload_offset: Option<i64>,
}

impl StoredDelivery {
    pub fn decode(self) -> Result<DeliveryRow, Error> {
        let place = self.payload_topic.zip(self.payload_partition).zip(self.payload_offset);
        Ok(DeliveryRow {
            message_id: MessageId::from_trusted(self.message_id),
            run: decode_run(&self.run)?,
            tenant: TenantId::from_trusted(self.tenant_id),
            endpoint: EndpointId::from_trusted(self.endpoint_id),
            subscription: SubscriptionId::from_trusted(self.subscription_id),
            event_id: EventId::from_trusted(self.event_id),
            event_type: self.event_type,
            // The table allows these two.
            kind: if self.kind == "test" { DeliveryKind::Test } else { DeliveryKind::Live },
            source: SourceCoordinates {
                topic: self.source_topic.into(),
                partition: self.source_partition,
                offset: self.source_offset,
            },
            status: self.status.parse().map_err(|e: UnknownStatus| undecodable("status", e))?,
            rank: self.rank,
            held: self.held_partition.zip(self.held_offset).map(|(partition, offset)| HeldAt { partition, offset }),
            attempt: self.attempt,
            last_status: self.last_status,
            last_error: self.last_error,
            last_error_message: self.last_error_message,
            next_attempt_at: self.next_attempt_at.map(Timestamp::from_datetime),
            matched_at: Timestamp::from_datetime(self.matched_at),
            updated_at: Timestamp::from_datetime(self.updated_at),
            payload: place.map(|((topic, partition), offset)| SourceCoordinates {
                topic: topic.into(),
                partition,
                offset,
            }),
        })
    }
}

/// A row of `delivery_attempts` as Postgres has it.
struct StoredAttempt {
    message_id: String,
    run: String,
    log_partition: i32,
    log_offset: i64,
    tenant_id: String,
    attempt: i32,
    started_at: DateTime<Utc>,
    duration_us: i64,
    status: Option<i32>,
    error: Option<String>,
    error_message: Option<String>,
    response_excerpt: Option<String>,
    request_headers: Option<Json<Pairs>>,
    response_headers: Option<Json<Pairs>>,
    dns_us: Option<i64>,
    connect_us: Option<i64>,
    tls_us: Option<i64>,
    wait_us: Option<i64>,
}

/// Headers as they are stored.
type Pairs = Vec<(String, String)>;

impl StoredAttempt {
    fn decode(self) -> Result<AttemptRow, Error> {
        Ok(AttemptRow {
            message_id: MessageId::from_trusted(self.message_id),
            run: decode_run(&self.run)?,
            log_partition: self.log_partition,
            log_offset: self.log_offset,
            tenant: TenantId::from_trusted(self.tenant_id),
            attempt: self.attempt,
            started_at: Timestamp::from_datetime(self.started_at),
            duration_us: self.duration_us,
            status: self.status,
            error: self.error,
            error_message: self.error_message,
            response_excerpt: self.response_excerpt,
            request_headers: headers(self.request_headers),
            response_headers: headers(self.response_headers),
            phases: Phases {
                dns_us: self.dns_us,
                connect_us: self.connect_us,
                tls_us: self.tls_us,
                wait_us: self.wait_us,
            },
        })
    }
}

fn headers(stored: Option<Json<Pairs>>) -> Vec<Header> {
    let pairs = stored.map(|json| json.0).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| Header { name, value }).collect()
}

fn decode_run(text: &str) -> Result<Run, Error> {
    text.parse().map_err(|e: InvalidRun| undecodable("run", e))
}
