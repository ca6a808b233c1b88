//! `/v1/events`: publishing over HTTP.

use bytes::Bytes;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, types::Example};
use postrider_domain::{
    TenantId, Timestamp, envelope::MAX_BODY_BYTES, event_type::Violation, pattern::validate_event_type,
};
use rand::Rng;
use serde::Deserialize;
use serde_json::{Value, json, value::to_raw_value};
use ulid::Ulid;

use super::{
    access::Authenticated,
    body::Body,
    openapi::Tag,
    problem::{Problem, ProblemKind, WriteProblem},
    respond::Accepted,
    schema::{RawJson, Time},
    state::{ApiConfig, ApiState, EventToPublish, PublishError},
    validate,
};
use crate::{auth::Scope, clock};

/// The longest id and subject.
const MAX_ATTRIBUTE_CHARACTERS: usize = 256;

/// The operations.
pub(crate) struct Events;

/// An event that is to be published.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct EventInput {
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

/// An event that was taken: Kafka acknowledged it.
#[derive(Debug, Object)]
#[oai(example)]
struct AcceptedEvent {
    /// Its id.
    id: String,
    /// The topic that it was written to.
    topic: String,
    /// The partition.
    partition: i32,
    /// The offset.
    offset: i64,
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

impl Example for AcceptedEvent {
    fn example() -> Self {
        Self {
            id: "evt_ord_1042_created".to_owned(),
            topic: "postrider.events".to_owned(),
            partition: 3,
            offset: 1_042,
        }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Events",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl Events {
    /// Publish an event
    ///
    /// Scope `events:publish`. Answered once Kafka has acknowledged the event: from then on it is not lost. After
    /// a 503 it is unknown whether it was written: send it again with the same `id`, which receivers see as the
    /// same `webhook-id`. If the event's type is in the catalogue and its `validation` is `reject`, data that does not
    /// fit its schema is refused (422, `field` names the place).
    #[oai(path = "/events", method = "post", operation_id = "publishEvent")]
    async fn publish(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        body: Body<EventInput>,
    ) -> Result<Accepted<AcceptedEvent>, WriteProblem> {
        let tenant = auth.tenant(Scope::EventsPublish)?;
        let now = clock::now();
        let event = checked(body.0, tenant, now, &mut clock::rng())?;
        fits(state, &event).await?;
        auth.may_publish(&state.access, 1, now)?;
        let id = event.id.clone();
        let published = tokio::time::timeout(config.publish_timeout, state.publisher.publish(event))
            .await
            .map_err(|_| unavailable("Kafka did not acknowledge the event in time"))?
            .map_err(|error| match error {
                PublishError::TooLarge(_) => Problem::new(ProblemKind::PayloadTooLarge, error.to_string()).at("/data"),
                PublishError::Unavailable(_) => unavailable(&error.to_string()),
            })?;
        Ok(Accepted(AcceptedEvent {
            id,
            topic: published.topic,
            partition: published.partition,
            offset: published.offset,
        }))
    }
}

fn unavailable(what: &str) -> Problem {
    Problem::new(ProblemKind::Unavailable, format!("{what}; it may have been written: try again with the same id"))
}

/// Checks every value and makes an id where there is none.
fn checked(
    input: EventInput,
    tenant: &TenantId,
    now: Timestamp,
    rng: &mut impl Rng,
) -> Result<EventToPublish, Problem> {
    validate_event_type(&input.event_type).map_err(|error| Problem::field("/type", error.to_string()))?;
    for (field, text) in [("/id", &input.id), ("/subject", &input.subject)] {
        if let Some(text) = text {
            validate::line(field, text, MAX_ATTRIBUTE_CHARACTERS)?;
            if text.is_empty() {
                return Err(Problem::field(field, "must not be empty; leave it out instead"));
            }
        }
    }
    let data = Bytes::from(String::from(Box::<str>::from(input.data.0)));
    if data.len() > MAX_BODY_BYTES {
        let detail = format!("data has {} bytes, at most {MAX_BODY_BYTES} are allowed", data.len());
        return Err(Problem::new(ProblemKind::PayloadTooLarge, detail).at("/data"));
    }
    Ok(EventToPublish {
        id: input.id.unwrap_or_else(|| generated_id(now, rng)),
        event_type: input.event_type,
        tenant: tenant.clone(),
        subject: input.subject,
        time: input.time.map_or(now, |time| time.0),
        data,
    })
}

/// Refuses what the matcher would reject. It looks again: the type may have changed by then.
async fn fits(state: &ApiState, event: &EventToPublish) -> Result<(), Problem> {
    let mut conn = state.pool.acquire().await?;
    let Some(event_type) = state.event_schemas.rejecting(&mut conn, &event.event_type).await? else { return Ok(()) };
    drop(conn);
    let data: Option<Value> = serde_json::from_slice(&event.data).ok();
    // A schema that can't be used rejects nothing.
    let Ok(Some(found)) = event_type.violation(|| data.as_ref()) else { return Ok(()) };
    let Violation { at, schema_at, message } = found;
    let detail = format!(
        "{message}: by '{schema_at}' of the schema of '{}' (`GET /v1/event-types`), which rejects what does not fit",
        event.event_type
    );
    Err(Problem::field(format!("/data{at}"), detail))
}

fn generated_id(now: Timestamp, rng: &mut impl Rng) -> String {
    let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let ulid = Ulid::from_parts(now.as_millis().unsigned_abs(), random);
    format!("evt_{}", ulid.to_string().to_ascii_lowercase())
}
