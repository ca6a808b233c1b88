//! Events as they come over HTTP, one or several, and what is answered.

use bytes::Bytes;
use poem_openapi::{Object, types::Example};
use postrider_domain::{
    TenantId, Timestamp, envelope::MAX_BODY_BYTES, message_id::event_id, pattern::validate_event_type,
};
use rand::{Rng as _, rngs::StdRng};
use serde::Deserialize;
use serde_json::{json, value::to_raw_value};
use ulid::Ulid;

use super::{
    kafka_publisher::{HTTP_SOURCE, HTTP_SOURCE_NAME},
    problem::{Problem, ProblemKind},
    schema::{RawJson, Time},
    state::{EventToPublish, Published},
    validate,
};
use crate::{clock, idempotency};

/// The longest id and subject.
const MAX_ATTRIBUTE_CHARACTERS: usize = 256;
/// The most events of a batch.
pub(super) const MAX_BATCH: usize = 1_000;

/// An event that is to be published.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct EventInput {
    /// Its type, as `order.created`.
    #[oai(rename = "type", validator(min_length = 1, max_length = 256))]
    #[serde(rename = "type")]
    event_type: String,
    /// Its payload: any JSON, delivered byte for byte, at most 1 MiB.
    data: RawJson,
    /// Its id: sending the same id again leads to the same `webhook-id`. Made if not given.
    #[oai(validator(min_length = 1, max_length = 256))]
    id: Option<String>,
    /// What it is about, as an order's id: events of one subject go to one partition.
    #[oai(validator(min_length = 1, max_length = 256))]
    subject: Option<String>,
    /// When it happened; now if not given.
    time: Option<Time>,
}

/// Events that are to be published together.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub(super) struct EventBatchInput {
    /// The events: 1 to 1,000. The whole body has its limit too (`api.max_body_bytes`, 2 MiB unless configured).
    #[oai(validator(min_items = 1, max_items = 1000))]
    events: Vec<EventInput>,
}

/// An event that was taken: Kafka acknowledged it.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct AcceptedEvent {
    /// Its id.
    id: String,
    /// Its identity within the deployment, as deliveries have it and `GET /v1/events/{event_id}` takes it.
    event_id: String,
    /// The topic that it was written to.
    topic: String,
    /// The partition.
    partition: i32,
    /// The offset.
    offset: i64,
}

/// Events that were taken: Kafka acknowledged all of them.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct AcceptedEvents {
    /// The events, in the order of the request.
    data: Vec<AcceptedEvent>,
}

impl Example for EventInput {
    fn example() -> Self {
        let data = json!({"order_id": "ord_1042", "total": 12990, "currency": "EUR"});
        Self {
            event_type: "order.created".to_owned(),
            data: RawJson(to_raw_value(&data).expect("a literal is JSON")),
            id: Some("evt_ord_1042_created".to_owned()),
            subject: Some("ord_1042".to_owned()),
            time: Some(Time(Timestamp::from_millis(1_769_860_800_000))),
        }
    }
}

impl Example for EventBatchInput {
    fn example() -> Self {
        let paid = EventInput {
            event_type: "order.paid".to_owned(),
            id: Some("evt_ord_1042_paid".to_owned()),
            ..EventInput::example()
        };
        Self { events: vec![EventInput::example(), paid] }
    }
}

impl Example for AcceptedEvent {
    fn example() -> Self {
        let id = "evt_ord_1042_created".to_owned();
        Self { event_id: identity(&id), id, topic: "postrider.events".to_owned(), partition: 3, offset: 1_042 }
    }
}

impl Example for AcceptedEvents {
    fn example() -> Self {
        let paid = "evt_ord_1042_paid".to_owned();
        let paid = AcceptedEvent { event_id: identity(&paid), id: paid, offset: 1_043, ..AcceptedEvent::example() };
        Self { data: vec![AcceptedEvent::example(), paid] }
    }
}

impl AcceptedEvent {
    /// Of an event with this id that stands there now.
    pub(super) fn new(id: String, published: Published) -> Self {
        let Published { topic, partition, offset } = published;
        Self { event_id: identity(&id), id, topic, partition, offset }
    }
}

impl AcceptedEvents {
    /// Of events in the order of the request.
    pub(super) fn new(data: Vec<AcceptedEvent>) -> Self {
        Self { data }
    }
}

/// The identity of an event that was published over HTTP with this id.
pub(super) fn identity(id: &str) -> String {
    event_id(HTTP_SOURCE_NAME, Some(HTTP_SOURCE), id).to_string()
}

impl EventInput {
    /// Checks every value and makes an id where there is none. `at` is where it stands in the body, as a JSON pointer.
    pub(super) fn checked(
        self,
        at: &str,
        tenant: &TenantId,
        now: Timestamp,
        ids: &mut EventIds,
    ) -> Result<EventToPublish, Problem> {
        let field = |name: &str| format!("{at}/{name}");
        validate_event_type(&self.event_type).map_err(|error| Problem::field(field("type"), error.to_string()))?;
        for (name, text) in [("id", &self.id), ("subject", &self.subject)] {
            if let Some(text) = text {
                validate::line(&field(name), text, MAX_ATTRIBUTE_CHARACTERS)?;
                if text.is_empty() {
                    return Err(Problem::field(field(name), "must not be empty; leave it out instead"));
                }
            }
        }
        let data = Bytes::from(String::from(Box::<str>::from(self.data.0)));
        if data.len() > MAX_BODY_BYTES {
            let detail = format!("data has {} bytes, at most {MAX_BODY_BYTES} are allowed", data.len());
            return Err(Problem::new(ProblemKind::PayloadTooLarge, detail).at(field("data")));
        }
        Ok(EventToPublish {
            id: self.id.unwrap_or_else(|| ids.next()),
            event_type: self.event_type,
            tenant: tenant.clone(),
            subject: self.subject,
            time: self.time.map_or(now, |time| time.0),
            data,
        })
    }
}

impl EventBatchInput {
    /// The same of all of them.
    pub(super) fn checked(
        self,
        tenant: &TenantId,
        now: Timestamp,
        ids: &mut EventIds,
    ) -> Result<Vec<EventToPublish>, Problem> {
        if !(1..=MAX_BATCH).contains(&self.events.len()) {
            let detail = format!("must have 1 to {MAX_BATCH} events, not {}", self.events.len());
            return Err(Problem::field("/events", detail));
        }
        let events = self.events.into_iter().enumerate();
        events.map(|(index, event)| event.checked(&format!("/events/{index}"), tenant, now, ids)).collect()
    }
}

/// The ids of events that have none of their own.
pub(super) struct EventIds {
    at: Timestamp,
    rng: StdRng,
}

impl EventIds {
    /// For the request in execution: if it has an `Idempotency-Key`, they are the same each time it is executed. So an
    /// event that was written by a try which failed is the same event to its receivers when it is written again.
    pub fn new(now: Timestamp) -> Self {
        match idempotency::repeatable_rng() {
            Some(rng) => Self { at: Timestamp::EPOCH, rng },
            None => Self { at: now, rng: clock::rng() },
        }
    }

    fn next(&mut self) -> String {
        let random = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        let ulid = Ulid::from_parts(self.at.as_millis().unsigned_abs(), random);
        format!("evt_{}", ulid.to_string().to_ascii_lowercase())
    }
}
