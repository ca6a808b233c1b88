//! What the API shows of deliveries.

use std::{fmt, str::FromStr};

use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::{
    DeliveryKind, MessageId, SourceCoordinates, Timestamp, delivery::Header, delivery_event::Phases, masking::MASK,
};
use postrider_postgres::delivery_log::{AttemptRow, DeliveryKey, DeliveryRow, PendingCounts};

use super::{deliveries::Status, schema::Time};

const EXAMPLE_MESSAGE: &str = "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z";
const EXAMPLE_TIME: Time = Time(Timestamp::from_millis(1_769_860_800_000));

/// Whether a delivery is of a real event or a test send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DeliveryKind", rename_all = "snake_case")]
pub(super) enum Kind {
    Live,
    Test,
}

impl From<Kind> for DeliveryKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Live => Self::Live,
            Kind::Test => Self::Test,
        }
    }
}

/// Where an event's record stands in Kafka.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Source {
    /// The topic.
    topic: String,
    /// Its partition.
    partition: i32,
    /// The record's offset.
    offset: i64,
}

/// One event on its way to one endpoint.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Delivery {
    /// The message's id, sent as `webhook-id`: the same over retries, redeliveries and replays.
    message_id: String,
    /// Which run of the message: `0` for the live one, `<job id>:<ordinal>` for a replay.
    run: String,
    /// The endpoint that it is for.
    endpoint_id: String,
    /// The subscription that matched; the oldest if several did.
    subscription_id: String,
    /// The event's identity within the deployment.
    event_id: String,
    /// The event's type.
    event_type: String,
    /// Live or test.
    kind: Kind,
    /// Where the event was read.
    source: Source,
    /// How far it has come.
    status: Status,
    /// The number of the attempt made last; while `waiting` or `held`, of the one that comes next.
    attempt: i32,
    /// The HTTP status of the last answer, if there was one.
    last_status: Option<i32>,
    /// Why the last attempt failed: `dns`, `connect`, `tls`, `timeout`, `address_refused`, `redirect`,
    /// `http_client_error`, `gone`, `rate_limited`, `http_server_error`, `invalid_response`, `payload_too_large`,
    /// `mapping_failed` (its event can't be mapped: nothing was sent) or `configuration`.
    last_error: Option<String>,
    /// The same in words; for `mapping_failed` the place in the mapping and the event's field.
    last_error_message: Option<String>,
    /// When it is tried again.
    next_attempt_at: Option<Time>,
    /// When the event was matched.
    matched_at: Time,
    /// When `status` came about.
    updated_at: Time,
}

/// One attempt to deliver.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Attempt {
    /// Its number, from 1. After a crash the same number can be there twice.
    number: i32,
    /// When the request was started.
    started_at: Time,
    /// From start to verdict, milliseconds.
    duration_ms: f64,
    /// The answer's HTTP status; null if there was no answer.
    status: Option<i32>,
    /// Why it failed, as in `last_error`; null for success.
    error: Option<String>,
    /// The failure in words.
    error_message: Option<String>,
    /// The headers that were sent (over HTTP/2 `host` is its `:authority`); `***` stands for a value that is secret: of
    /// the endpoint's own headers and of such as `authorization`. Empty if nothing was sent.
    request_headers: Vec<NamedValue>,
    /// The answer's headers, at most 16 KiB; `***` stands for what is secret by its name, or was sent as such.
    response_headers: Vec<NamedValue>,
    /// The first bytes of the answer's body, at most 16 KiB; `***` likewise.
    response_excerpt: Option<String>,
    /// How long its parts took.
    phases: AttemptPhases,
}

/// A header.
#[derive(Debug, Object)]
#[oai(rename = "HeaderValue")]
pub(super) struct NamedValue {
    /// Its name, in lower case.
    name: String,
    /// Its value.
    value: String,
}

/// How long the parts of an attempt took, milliseconds. `dns`, `connect` and `tls` are null on a connection that was
/// there already; all of them, where they were not reached.
#[derive(Debug, Object)]
#[expect(clippy::struct_field_names, reason = "their unit, as the answer has it")]
pub(super) struct AttemptPhases {
    /// Looking up the host's addresses.
    dns_ms: Option<f64>,
    /// Connecting to one of them, or through the proxy.
    connect_ms: Option<f64>,
    /// The TLS handshake.
    tls_ms: Option<f64>,
    /// From there to the head of the answer, or to the failure.
    wait_ms: Option<f64>,
    /// All of it, with the reading of the answer's body.
    total_ms: f64,
}

/// What waits of a tenant's deliveries, of one endpoint's, or of everybody's.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct PendingDeliveries {
    /// Put aside for a short while, because their endpoint has no room.
    waiting: i64,
    /// Put aside until their endpoint goes on.
    held: i64,
    /// To be tried again after a failure.
    retrying: i64,
    /// All of these.
    total: i64,
    /// Whether counting stopped at 100,000 of one kind: there may be more.
    more: bool,
    /// Matched and not looked at by a dispatcher yet, which nothing has counted by tenant: about so many deliveries of the
    /// whole deployment. Null where it is asked about one tenant, and while Kafka does not answer.
    queued: Option<i64>,
}

/// One run of a message.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct DeliveryRun {
    /// How far it has come.
    delivery: Delivery,
    /// Its attempts, in the order in which they were made.
    attempts: Vec<Attempt>,
}

/// A message with all its runs.
#[derive(Debug, Object)]
#[oai(example, rename = "MessageDeliveries")]
pub(super) struct Message {
    /// The message's id, sent as `webhook-id`.
    message_id: String,
    /// Its runs, the earliest first.
    runs: Vec<DeliveryRun>,
}

impl Message {
    /// Gives each run its attempts; none if there is no run.
    pub fn assemble(runs: Vec<DeliveryRow>, attempts: Vec<AttemptRow>) -> Option<Self> {
        let message_id = runs.first()?.message_id.to_string();
        let mut attempts: Vec<Option<AttemptRow>> = attempts.into_iter().map(Some).collect();
        let runs = runs.into_iter().map(|row| {
            let own = attempts.iter_mut().filter_map(|attempt| attempt.take_if(|attempt| attempt.run == row.run));
            DeliveryRun { attempts: own.map(Attempt::from).collect(), delivery: row.into() }
        });
        Some(Self { message_id, runs: runs.collect() })
    }
}

impl From<&SourceCoordinates> for Source {
    fn from(at: &SourceCoordinates) -> Self {
        Self { topic: at.topic.to_string(), partition: at.partition, offset: at.offset }
    }
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            message_id: row.message_id.to_string(),
            run: row.run.to_string(),
            endpoint_id: row.endpoint.to_string(),
            subscription_id: row.subscription.to_string(),
            event_id: row.event_id.to_string(),
            event_type: row.event_type,
            kind: match row.kind {
                DeliveryKind::Live => Kind::Live,
                DeliveryKind::Test => Kind::Test,
            },
            source: (&row.source).into(),
            status: row.status.into(),
            attempt: row.attempt,
            last_status: row.last_status,
            last_error: row.last_error,
            last_error_message: row.last_error_message,
            next_attempt_at: row.next_attempt_at.map(Time),
            matched_at: Time(row.matched_at),
            updated_at: Time(row.updated_at),
        }
    }
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            number: row.attempt,
            started_at: Time(row.started_at),
            duration_ms: milliseconds(row.duration_us),
            status: row.status,
            error: row.error,
            error_message: row.error_message,
            request_headers: named_values(row.request_headers),
            response_headers: named_values(row.response_headers),
            response_excerpt: row.response_excerpt,
            phases: AttemptPhases::of(row.phases, row.duration_us),
        }
    }
}

impl AttemptPhases {
    /// Of an attempt that took `duration_us` in all.
    pub(super) fn of(phases: Phases, duration_us: i64) -> Self {
        Self {
            dns_ms: phases.dns_us.map(milliseconds),
            connect_ms: phases.connect_us.map(milliseconds),
            tls_ms: phases.tls_us.map(milliseconds),
            wait_ms: phases.wait_us.map(milliseconds),
            total_ms: milliseconds(duration_us),
        }
    }
}

/// Headers as they are shown.
pub(super) fn named_values(headers: Vec<Header>) -> Vec<NamedValue> {
    headers.into_iter().map(|Header { name, value }| NamedValue { name, value }).collect()
}

impl PendingDeliveries {
    /// These, and those that stand before the dispatchers.
    pub fn of(counts: PendingCounts, queued: Option<i64>) -> Self {
        let PendingCounts { waiting, held, retrying, more } = counts;
        Self { waiting, held, retrying, total: waiting + held + retrying, more, queued }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
fn milliseconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1_000.0
}

/// A delivery's place in the list, as text: milliseconds, message and run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor(pub DeliveryKey);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.0.matched_at.as_millis(), self.0.message_id, self.0.run)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parse = || {
            let mut parts = text.splitn(3, ' ');
            let matched_at: i64 = parts.next()?.parse().ok()?;
            let message_id: MessageId = parts.next()?.parse().ok()?;
            let run = parts.next()?.parse().ok()?;
            // Postgres' calendar is shorter than ours: what no row can have is no cursor.
            (0..=MAX_MILLIS).contains(&matched_at).then_some(())?;
            Some(Self(DeliveryKey { matched_at: Timestamp::from_millis(matched_at), message_id, run }))
        };
        parse().ok_or(())
    }
}

/// The end of the year 9999.
pub(super) const MAX_MILLIS: i64 = 253_402_300_799_999;

impl Example for Source {
    fn example() -> Self {
        Self { topic: "orders".to_owned(), partition: 2, offset: 52_017 }
    }
}

impl Example for Delivery {
    fn example() -> Self {
        Self {
            message_id: EXAMPLE_MESSAGE.to_owned(),
            run: "0".to_owned(),
            endpoint_id: "ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            subscription_id: "sub_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            event_id: "6:orders8:ord_1042".to_owned(),
            event_type: "order.created".to_owned(),
            kind: Kind::Live,
            source: Source::example(),
            status: Status::Retrying,
            attempt: 1,
            last_status: Some(503),
            last_error: Some("http_server_error".to_owned()),
            last_error_message: None,
            next_attempt_at: Some(EXAMPLE_TIME),
            matched_at: EXAMPLE_TIME,
            updated_at: EXAMPLE_TIME,
        }
    }
}

impl Example for Attempt {
    fn example() -> Self {
        Self {
            number: 1,
            started_at: EXAMPLE_TIME,
            duration_ms: 12.3,
            status: Some(503),
            error: Some("http_server_error".to_owned()),
            error_message: Some("the endpoint answered 503".to_owned()),
            request_headers: named_values(vec![
                header("content-type", "application/json"),
                header("webhook-id", EXAMPLE_MESSAGE),
                header("webhook-timestamp", "1769860800"),
                header("x-team", MASK),
            ]),
            response_headers: named_values(vec![header("retry-after", "120")]),
            response_excerpt: Some("try later".to_owned()),
            phases: AttemptPhases::example(),
        }
    }
}

impl Example for AttemptPhases {
    fn example() -> Self {
        Self { dns_ms: Some(1.2), connect_ms: Some(2.1), tls_ms: Some(4.5), wait_ms: Some(4.0), total_ms: 12.3 }
    }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

impl Example for PendingDeliveries {
    fn example() -> Self {
        Self::of(PendingCounts { waiting: 3, held: 1_204, retrying: 17, more: false }, None)
    }
}

impl Example for DeliveryRun {
    fn example() -> Self {
        Self { delivery: Delivery::example(), attempts: vec![Attempt::example()] }
    }
}

impl Example for Message {
    fn example() -> Self {
        Self { message_id: EXAMPLE_MESSAGE.to_owned(), runs: vec![DeliveryRun::example()] }
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::Run;

    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_a_made_up_one_refused() {
        let key = DeliveryKey {
            matched_at: Timestamp::from_millis(1_769_860_800_123),
            message_id: MessageId::from_trusted(EXAMPLE_MESSAGE),
            run: Run::LIVE,
        };
        let cursor = Cursor(key);
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let made_up =
            ["", "1", "1 msg_1 0", "x msg_4kq2x9vq3m7k8n5p4r6s0t1w2z 0", "1 msg_4kq2x9vq3m7k8n5p4r6s0t1w2z \0"];
        let too_late = format!("{} {EXAMPLE_MESSAGE} 0", i64::MAX);
        for text in made_up.into_iter().chain([too_late.as_str()]) {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text:?}");
        }
    }
}
