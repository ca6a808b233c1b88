//! `/v1/events`: publishing over HTTP, and what became of an event.

use std::{collections::HashMap, time::Duration};

use futures::future::join_all;
use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use postrider_domain::{
    EndpointId, Event, EventId, SourceCoordinates, SubscriptionId, TenantId, event_type::Violation, filter::EventView,
    message_id::message_id,
};
use postrider_postgres::{
    PgConnection, delivery_log,
    subscriptions::{self, SubscriptionRow},
};
use serde_json::Value;

use super::{
    access::Authenticated,
    body::Body,
    event_input::{AcceptedEvent, AcceptedEvents, EventBatchInput, EventIds, EventInput, identity},
    explain_types::{EventPayload, ExplainInput, Explanation, Explanations, LoggedEvent, unpublished},
    openapi::Tag,
    pagination::PageRequest,
    problem::{PayloadProblem, Problem, ProblemKind, ReadProblem, WriteProblem},
    respond::{Accepted, Found},
    state::{ApiConfig, ApiState, EventToPublish, NoEvents, PublishError},
};
use crate::{auth::Scope, clock};

/// The most deliveries that are shown with an event.
const MAX_SHOWN_DELIVERIES: i64 = 100;

/// The operations.
pub(crate) struct Events;

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
        let event = body.0.checked("", tenant, now, &mut EventIds::new(now))?;
        fits(state, vec![("", &event)]).await?;
        auth.may_publish(&state.access, 1, now)?;
        let published = publish(state, event, "", config.publish_timeout).await;
        Ok(Accepted(published.map_err(|problem| unwritten(problem, "it", "the same id"))?))
    }

    /// Publish up to 1,000 events
    ///
    /// Scope `events:publish`. All of them are checked before the first is written. Answered once Kafka has
    /// acknowledged all. Events of one `subject` keep the order of the request. After a 503 it is unknown which of them
    /// were written: send the batch again with the same ids, or with the same `Idempotency-Key`, from which those without
    /// an id get theirs; receivers see the same `webhook-id`.
    #[oai(path = "/events/batch", method = "post", operation_id = "publishEvents")]
    async fn publish_batch(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        body: Body<EventBatchInput>,
    ) -> Result<Accepted<AcceptedEvents>, WriteProblem> {
        let tenant = auth.tenant(Scope::EventsPublish)?;
        let now = clock::now();
        let events = body.0.checked(tenant, now, &mut EventIds::new(now))?;
        let places: Vec<String> = (0..events.len()).map(|index| format!("/events/{index}")).collect();
        fits(state, places.iter().map(String::as_str).zip(&events).collect()).await?;
        auth.may_publish(&state.access, events.len(), now)?;
        let publishing = events.into_iter().zip(&places);
        let publishing = publishing.map(|(event, at)| publish(state, event, at, config.publish_timeout));
        let published: Result<Vec<_>, _> = join_all(publishing).await.into_iter().collect();
        let published = published.map_err(|problem| unwritten(problem, "any of the batch", "the same ids"))?;
        Ok(Accepted(AcceptedEvents::new(published)))
    }

    /// Explain why an event was delivered or not
    ///
    /// Scope `events:read`. Holds an event against the tenant's subscriptions as they are now, the oldest first: of each
    /// whether it matches and, if not, the first reason. Changes nothing.
    #[oai(path = "/events/explain", method = "post", operation_id = "explainEvent")]
    async fn explain(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<ExplainInput>,
        /// `next_cursor` of the answer before.
        cursor: Query<Option<String>>,
        /// How many subscriptions at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Explanations>, WriteProblem> {
        let tenant = auth.tenant(Scope::EventsRead)?;
        let page = PageRequest::<SubscriptionId>::parse(cursor.0.as_deref(), limit.0)?;
        let ExplainInput { event_id, source, event, endpoint_id, subscription_id } = body.0;
        let event = asked_about(state, tenant, event_id, source.as_ref().map(Into::into), event).await?;
        let mut conn = state.pool.tenant(tenant).await?;
        let rows = chosen(&mut conn, tenant, endpoint_id, subscription_id, &page).await?;
        let messages: Vec<_> = rows.iter().map(|row| message_id(&event.id, &row.endpoint)).collect();
        let statuses = delivery_log::live_statuses(&mut conn, tenant, &messages).await?;
        let view = EventView::new(&event);
        let (rows, next_cursor) = page.cut(rows, |row| row.id.to_string());
        let explained = rows.into_iter().map(|row| {
            let status = statuses.get(&message_id(&event.id, &row.endpoint)).copied();
            Explanation::new(row, &view, status)
        });
        Ok(Found(Explanations::new(&event, explained.collect(), next_cursor)))
    }

    /// Get an event
    ///
    /// Scope `events:read`. An event of which a delivery is logged, with its deliveries. One that matched nothing is
    /// not there: explain it by where it stands in Kafka.
    #[oai(path = "/events/:event_id", method = "get", operation_id = "getEvent")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The event's identity within the deployment, or the `id` that it was published with over HTTP;
        /// percent-encoded.
        event_id: Path<String>,
    ) -> Result<Found<LoggedEvent>, ReadProblem> {
        let tenant = auth.tenant(Scope::EventsRead)?;
        let rows = deliveries_of(state, tenant, &event_id, MAX_SHOWN_DELIVERIES).await?;
        Ok(Found(LoggedEvent::of(rows).ok_or_else(|| missing(&event_id))?))
    }

    /// Get an event's payload
    ///
    /// Scope `events:read`. Read from its source topic in Kafka, where it stands for as long as that topic keeps it;
    /// after that 410.
    #[oai(path = "/events/:event_id/payload", method = "get", operation_id = "getEventPayload")]
    async fn payload(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The event's identity within the deployment, or the `id` that it was published with over HTTP;
        /// percent-encoded.
        event_id: Path<String>,
    ) -> Result<Found<EventPayload>, PayloadProblem> {
        let tenant = auth.tenant(Scope::EventsRead)?;
        Ok(Found(logged_event(state, tenant, &event_id).await?.into()))
    }
}

/// Refuses what the matcher would reject, each by where it stands in the request. It looks again: a type may have
/// changed by then.
async fn fits(state: &ApiState, events: Vec<(&str, &EventToPublish)>) -> Result<(), Problem> {
    let mut types = HashMap::new();
    let mut conn = state.pool.acquire().await?;
    for &(_, event) in &events {
        if !types.contains_key(event.event_type.as_str()) {
            let rejecting = state.event_schemas.rejecting(&mut conn, &event.event_type).await?;
            types.insert(event.event_type.as_str(), rejecting);
        }
    }
    drop(conn);
    for (at, event) in events {
        let Some(Some(event_type)) = types.get(event.event_type.as_str()) else { continue };
        let data: Option<Value> = serde_json::from_slice(&event.data).ok();
        // A schema that can't be used rejects nothing.
        let Ok(Some(found)) = event_type.violation(|| data.as_ref()) else { continue };
        let Violation { at: place, schema_at, message } = found;
        let detail = format!(
            "{message}: by '{schema_at}' of the schema of '{}' (`GET /v1/event-types`), which rejects what does not fit",
            event.event_type
        );
        return Err(Problem::field(format!("{at}/data{place}"), detail));
    }
    Ok(())
}

/// Publishes one event. `at` is where it stands in the request.
async fn publish(
    state: &ApiState,
    event: EventToPublish,
    at: &str,
    patience: Duration,
) -> Result<AcceptedEvent, Problem> {
    let id = event.id.clone();
    let unavailable = |what: &str| Problem::new(ProblemKind::Unavailable, what);
    let published = tokio::time::timeout(patience, state.publisher.publish(event))
        .await
        .map_err(|_| unavailable("Kafka did not acknowledge the event in time"))?
        .map_err(|error| match error {
            PublishError::TooLarge(_) => {
                Problem::new(ProblemKind::PayloadTooLarge, error.to_string()).at(format!("{at}/data"))
            }
            PublishError::Unavailable(_) => unavailable(&error.to_string()),
        })?;
    Ok(AcceptedEvent::new(id, published))
}

/// Says what to do when it is not known what was written.
fn unwritten(problem: Problem, what: &str, ids: &str) -> Problem {
    match problem.kind() {
        ProblemKind::Unavailable => {
            let detail = format!("{problem}; {what} may have been written: try again with {ids}");
            Problem::new(ProblemKind::Unavailable, detail)
        }
        _ => problem,
    }
}

fn missing(id: &str) -> Problem {
    Problem::not_found("event with a logged delivery", id)
}

fn gone() -> Problem {
    Problem::new(ProblemKind::PayloadGone, "its source topic does not have the event any more")
}

/// An event's identity, if it is one; otherwise of what was published over HTTP with this id.
fn event_id_of(text: &str) -> Option<EventId> {
    let is_identity = ["id,", "at,", "sha256,"].iter().any(|start| text.starts_with(start));
    let storable = !text.is_empty() && !text.contains('\0');
    storable.then(|| EventId::from_trusted(if is_identity { text.to_owned() } else { identity(text) }))
}

async fn deliveries_of(
    state: &ApiState,
    tenant: &TenantId,
    id: &str,
    limit: i64,
) -> Result<Vec<delivery_log::DeliveryRow>, Problem> {
    let Some(event) = event_id_of(id) else { return Ok(Vec::new()) };
    let mut transaction = state.pool.tenant(tenant).await?;
    let rows = delivery_log::of_event(&mut transaction, tenant, &event, limit).await?;
    transaction.commit().await?;
    Ok(rows)
}

/// An event of which a delivery is logged, from its source.
async fn logged_event(state: &ApiState, tenant: &TenantId, id: &str) -> Result<Event, Problem> {
    let rows = deliveries_of(state, tenant, id, 1).await?;
    let row = rows.into_iter().next().ok_or_else(|| missing(id))?;
    let events = match state.events.events_at(&row.source).await {
        Ok(events) => events,
        Err(NoEvents::Unavailable(reason)) => return Err(Problem::new(ProblemKind::Unavailable, reason)),
        Err(NoEvents::Gone | NoEvents::Rejected(_)) => return Err(gone()),
    };
    // Where the topic was made anew, another record stands there.
    events.into_iter().find(|event| event.tenant == *tenant && event.id == row.event_id).ok_or_else(gone)
}

/// The event that is to be explained.
async fn asked_about(
    state: &ApiState,
    tenant: &TenantId,
    event_id: Option<String>,
    source: Option<SourceCoordinates>,
    event: Option<EventInput>,
) -> Result<Event, Problem> {
    match (event_id, source, event) {
        (Some(id), None, None) => {
            logged_event(state, tenant, &id).await.map_err(|problem| match problem.kind() {
                // Of a body that names what is gone, the value can't be accepted.
                ProblemKind::PayloadGone => Problem::field("/event_id", problem.to_string()),
                _ => problem.at("/event_id"),
            })
        }
        (None, Some(at), None) => {
            let nothing = || {
                let place = format!("{}/{} at {}", at.topic, at.partition, at.offset);
                Problem::not_found("event of this tenant in a source", &place).at("/source")
            };
            let events = state.events.events_at(&at).await.map_err(|error| match error {
                NoEvents::Unavailable(reason) => Problem::new(ProblemKind::Unavailable, reason),
                // Why a record was rejected may quote what is another tenant's.
                NoEvents::Gone | NoEvents::Rejected(_) => nothing(),
            })?;
            events.into_iter().find(|event| event.tenant == *tenant).ok_or_else(nothing)
        }
        (None, None, Some(event)) => {
            let now = clock::now();
            Ok(unpublished(event.checked("/event", tenant, now, &mut EventIds::new(now))?))
        }
        _ => Err(Problem::field("", "give exactly one of event_id, source and event")),
    }
}

/// The subscriptions that are asked about: one more than the page holds.
async fn chosen(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: Option<String>,
    subscription: Option<String>,
    page: &PageRequest<SubscriptionId>,
) -> Result<Vec<SubscriptionRow>, Problem> {
    if let Some(text) = subscription {
        let missing = || Problem::not_found("subscription", &text).at("/subscription_id");
        let id: SubscriptionId = text.parse().map_err(|_| missing())?;
        let row = subscriptions::get(conn, tenant, &id).await?.ok_or_else(missing)?;
        return Ok(vec![row]);
    }
    let endpoint = endpoint
        .map(|text| text.parse::<EndpointId>().map_err(|_| Problem::not_found("endpoint", &text).at("/endpoint_id")));
    let endpoint = endpoint.transpose()?;
    Ok(subscriptions::list(conn, tenant, endpoint.as_ref(), page.after.as_ref(), page.rows_to_read()).await?)
}
