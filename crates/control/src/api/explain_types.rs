//! Events as they are shown, and why subscriptions match them or not.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::{
    Event, EventId, SourceCoordinates, Subscription, Timestamp,
    filter::{EventView, Explanation as Reason, explain},
    message_id::message_id,
};
use postrider_postgres::{
    delivery_log::{DeliveryRow, DeliveryStatus},
    subscriptions::SubscriptionRow,
};
use serde::Deserialize;

use super::{
    deliveries::Status,
    delivery_types::{Delivery, Source},
    event_input::{EventInput, identity},
    kafka_publisher::HTTP_SOURCE,
    schema::Time,
    state::EventToPublish,
};

/// A place in Kafka.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceInput {
    /// The topic of a source, as in the answer to publishing.
    #[oai(validator(min_length = 1, max_length = 249))]
    pub(super) topic: String,
    /// Its partition.
    pub(super) partition: i32,
    /// The record's offset.
    pub(super) offset: i64,
}

/// What is to be explained: exactly one of `event_id`, `source` and `event`.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainInput {
    /// An event of which a delivery is logged: its identity, or the `id` that it was published with over HTTP.
    #[oai(validator(min_length = 1, max_length = 600))]
    pub(super) event_id: Option<String>,
    /// An event by where it stands in Kafka, as publishing answers it: also one that matched nothing. Of a batch of
    /// CloudEvents, the first of this tenant's.
    pub(super) source: Option<SourceInput>,
    /// An event that is not published.
    pub(super) event: Option<EventInput>,
    /// Only the subscriptions of this endpoint.
    pub(super) endpoint_id: Option<String>,
    /// Only this subscription.
    pub(super) subscription_id: Option<String>,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "ExplanationOutcome", rename_all = "snake_case")]
enum Outcome {
    /// It matches.
    Matched,
    /// None of its patterns is for the event's type.
    EventType,
    /// Its filter does not hold.
    Filter,
}

/// Whether one subscription matches an event, and if not, why.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Explanation {
    /// The subscription.
    subscription_id: String,
    /// Its endpoint.
    endpoint_id: String,
    /// Whether it matches the event as it is now.
    matched: bool,
    /// What decided.
    outcome: Outcome,
    /// The same in words: of a filter the first condition because of which it does not hold, with the value found.
    reason: String,
    /// Where that condition stands, as a JSON pointer into the filter.
    condition: Option<String>,
    /// When the subscription was last changed: what was matched before, was matched without that change.
    updated_at: Time,
    /// The `webhook-id` of the event at this endpoint.
    message_id: String,
    /// How far the live delivery has come, if one is logged: of this subscription or another one of the endpoint.
    delivery_status: Option<Status>,
}

/// Why an event was delivered or not.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Explanations {
    /// The event's identity within the deployment.
    event_id: String,
    /// Its type.
    event_type: String,
    /// The subscriptions, the oldest first.
    data: Vec<Explanation>,
    /// What to send as `cursor` for the next ones; null if these are the last.
    next_cursor: Option<String>,
}

/// An event of which deliveries are logged.
#[derive(Debug, Object)]
#[oai(example, rename = "Event")]
pub(super) struct LoggedEvent {
    /// Its identity within the deployment.
    event_id: String,
    /// Its type.
    event_type: String,
    /// Where it was read.
    source: Source,
    /// When it was first matched, of the deliveries below.
    matched_at: Time,
    /// Its deliveries, the latest matched first; at most 100 (`GET /v1/deliveries?event_id=…` has all).
    deliveries: Vec<Delivery>,
}

/// How bytes are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "PayloadEncoding", rename_all = "snake_case")]
pub(super) enum Encoding {
    /// As they are: they are text.
    Utf8,
    /// In base64.
    Base64,
}

/// An event as it stands in its source.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct EventPayload {
    /// Its identity within the deployment.
    event_id: String,
    /// The id that its producer gave it, if any.
    id: Option<String>,
    /// Its type.
    event_type: String,
    /// The CloudEvents `source`, or the name of the configured source.
    source: String,
    /// What it is about, if it says so.
    subject: Option<String>,
    /// When it happened.
    time: Time,
    /// The media type of `data`.
    content_type: String,
    /// How `data` and `previous` are written here.
    encoding: Encoding,
    /// Its payload, to the byte.
    data: String,
    /// The state before the change, if it has it.
    previous: Option<String>,
}

/// Bytes as they are written in JSON.
pub(super) fn written(bytes: &[u8]) -> (Encoding, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Encoding::Utf8, text.to_owned()),
        Err(_) => (Encoding::Base64, BASE64_STANDARD.encode(bytes)),
    }
}

impl From<&SourceInput> for SourceCoordinates {
    fn from(input: &SourceInput) -> Self {
        Self { topic: input.topic.as_str().into(), partition: input.partition, offset: input.offset }
    }
}

impl Explanation {
    /// Of `row` and the event, of which `status` is logged at its endpoint.
    pub(super) fn new(row: SubscriptionRow, event: &EventView<'_>, status: Option<DeliveryStatus>) -> Self {
        let message_id = message_id(&event.event().id, &row.endpoint).to_string();
        let updated_at = Time(row.updated_at);
        let subscription = subscription(row);
        let reason = explain(&subscription, event);
        let (outcome, condition) = match &reason {
            Reason::Matched => (Outcome::Matched, None),
            // Only the tenant's own are asked about.
            Reason::Tenant { .. } | Reason::EventType { .. } => (Outcome::EventType, None),
            Reason::Filter(failed) => (Outcome::Filter, Some(failed.pointer.clone())),
        };
        Self {
            subscription_id: subscription.id.to_string(),
            endpoint_id: subscription.endpoint.to_string(),
            matched: reason.is_match(),
            outcome,
            reason: reason.to_string(),
            condition,
            updated_at,
            message_id,
            delivery_status: status.map(Into::into),
        }
    }
}

/// An event that is not published, as it would be.
pub(super) fn unpublished(event: EventToPublish) -> Event {
    Event {
        id: EventId::from_trusted(identity(&event.id)),
        producer_id: Some(event.id),
        source: HTTP_SOURCE.to_owned(),
        tenant: event.tenant,
        event_type: event.event_type,
        time: event.time,
        subject: event.subject,
        ordering_key: None,
        data: event.data,
        previous: None,
        content_type: "application/json".to_owned(),
        coordinates: SourceCoordinates { topic: "".into(), partition: 0, offset: 0 },
    }
}

fn subscription(row: SubscriptionRow) -> Subscription {
    Subscription {
        id: row.id,
        tenant: row.tenant,
        endpoint: row.endpoint,
        event_types: row.event_types,
        filter: row.filter,
        mapping: row.mapping,
        created_at: row.created_at,
    }
}

impl Explanations {
    /// Of a page of the event's subscriptions.
    pub(super) fn new(event: &Event, data: Vec<Explanation>, next_cursor: Option<String>) -> Self {
        Self { event_id: event.id.to_string(), event_type: event.event_type.clone(), data, next_cursor }
    }
}

impl LoggedEvent {
    /// Of its deliveries, the latest matched first; none if there are none.
    pub(super) fn of(rows: Vec<DeliveryRow>) -> Option<Self> {
        let first = rows.last()?;
        Some(Self {
            event_id: first.event_id.to_string(),
            event_type: first.event_type.clone(),
            source: (&first.source).into(),
            matched_at: Time(first.matched_at),
            deliveries: rows.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<Event> for EventPayload {
    fn from(event: Event) -> Self {
        let previous = event.previous.as_deref();
        let is_text = std::str::from_utf8(&event.data).is_ok() && previous.is_none_or(|it| str::from_utf8(it).is_ok());
        let write = |bytes: &[u8]| if is_text { written(bytes).1 } else { BASE64_STANDARD.encode(bytes) };
        Self {
            encoding: if is_text { Encoding::Utf8 } else { Encoding::Base64 },
            data: write(&event.data),
            previous: previous.map(write),
            event_id: event.id.to_string(),
            id: event.producer_id,
            event_type: event.event_type,
            source: event.source,
            subject: event.subject,
            time: Time(event.time),
            content_type: event.content_type,
        }
    }
}

const EXAMPLE_TIME: Time = Time(Timestamp::from_millis(1_769_860_800_000));

fn example_identity() -> String {
    identity("evt_ord_1042_created")
}

impl Example for ExplainInput {
    fn example() -> Self {
        let event_id = Some("evt_ord_1042_created".to_owned());
        let endpoint_id = Some("ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned());
        Self { event_id, source: None, event: None, endpoint_id, subscription_id: None }
    }
}

impl Example for Explanation {
    fn example() -> Self {
        Self {
            subscription_id: "sub_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            endpoint_id: "ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            matched: false,
            outcome: Outcome::Filter,
            reason: "not matched: filter/all/1: data.total is 99; wanted: greater_than 100".to_owned(),
            condition: Some("/all/1".to_owned()),
            updated_at: EXAMPLE_TIME,
            message_id: "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z".to_owned(),
            delivery_status: None,
        }
    }
}

impl Example for Explanations {
    fn example() -> Self {
        Self {
            event_id: example_identity(),
            event_type: "order.created".to_owned(),
            data: vec![Explanation::example()],
            next_cursor: None,
        }
    }
}

impl Example for LoggedEvent {
    fn example() -> Self {
        Self {
            event_id: example_identity(),
            event_type: "order.created".to_owned(),
            source: Source::example(),
            matched_at: EXAMPLE_TIME,
            deliveries: vec![Delivery::example()],
        }
    }
}

impl Example for EventPayload {
    fn example() -> Self {
        Self {
            event_id: example_identity(),
            id: Some("evt_ord_1042_created".to_owned()),
            event_type: "order.created".to_owned(),
            source: "/v1/events".to_owned(),
            subject: Some("ord_1042".to_owned()),
            time: EXAMPLE_TIME,
            content_type: "application/json".to_owned(),
            encoding: Encoding::Utf8,
            data: r#"{"order_id": "ord_1042", "total": 12990, "currency": "EUR"}"#.to_owned(),
            previous: None,
        }
    }
}
