//! `/v1/endpoints/{id}/test`: a made-up event, sent the same road as every other.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use postrider_domain::{
    Delivery, DeliveryEvent, DeliveryEventBody, EndpointId, ErrorClass, SubscriptionId, TenantId, Timestamp,
    delivery::Header, delivery_event::Attempted, envelope::MAX_BODY_BYTES, pattern::validate_event_type,
};
use postrider_postgres::{
    PgConnection,
    endpoints::{self, EndpointRow},
    event_types,
    subscriptions::{self, SubscriptionRow},
};
use serde::Deserialize;
use serde_json::{json, value::to_raw_value};

use super::{
    access::Authenticated,
    body::Body,
    delivery_types::{AttemptPhases, NamedValue, named_values},
    openapi::Tag,
    problem::{Problem, ProblemKind, WriteProblem},
    respond::Found,
    schema::{RawJson, Time},
    state::ApiState,
};
use crate::{
    auth::Scope,
    clock,
    manage::subscriptions::MAX_PER_ENDPOINT,
    test_sends::{TestEvent, compose},
};

/// The type of the event if none is given.
const DEFAULT_EVENT_TYPE: &str = "postrider.test";
/// Its payload.
const DEFAULT_DATA: &str = r#"{"message":"This is a test."}"#;
/// How much longer than the endpoint's time-out the outcome is waited for.
const SLACK: Duration = Duration::from_secs(10);
/// The longest that the outcome of a test is waited for.
const MAX_PATIENCE: Duration = Duration::from_secs(70);

/// The operations.
pub(crate) struct TestSends;

/// What to send.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct TestInput {
    /// The event's type; `postrider.test` if not given.
    #[oai(validator(min_length = 1, max_length = 256))]
    event_type: Option<String>,
    /// Its payload: any JSON, at most 1 MiB. If not given, the sample that the catalogue has of the type.
    data: Option<RawJson>,
    /// The subscription of the endpoint whose mapping is used; if not given, that of the oldest one that wants the type.
    /// Filters do not matter.
    subscription_id: Option<String>,
}

impl Example for TestInput {
    fn example() -> Self {
        let data = json!({"order_id": "ord_1042", "total": 12990, "currency": "EUR"});
        Self {
            event_type: Some("order.created".to_owned()),
            data: Some(RawJson(to_raw_value(&data).expect("a literal is JSON"))),
            subscription_id: None,
        }
    }
}

/// What came of a test.
#[derive(Debug, Object)]
#[oai(example)]
struct TestResult {
    /// Whether it was answered with 2xx.
    delivered: bool,
    /// Why it failed, as in `/v1/deliveries`; null if it was delivered.
    error_class: Option<String>,
    /// Why, in words.
    error_message: Option<String>,
    /// When the request was begun; null if none was.
    started_at: Option<Time>,
    /// From then to the verdict, in milliseconds.
    duration_ms: Option<f64>,
    /// How long its parts took; null if no request was begun.
    phases: Option<AttemptPhases>,
    /// What was sent; null if the event could not be mapped.
    request: Option<TestRequest>,
    /// What was answered; null if nothing was.
    response: Option<TestResponse>,
}

/// The request of a test.
#[derive(Debug, Object)]
struct TestRequest {
    /// The `webhook-id`: also the id under `/v1/deliveries`.
    message_id: String,
    /// Its method.
    method: String,
    /// Scheme, host and port that it went to; path and query can be secret.
    origin: String,
    /// What the mapping appended to the URL's path; empty if nothing.
    path_suffix: String,
    /// The headers that were sent, in order; `***` stands for a value that is secret. Empty if nothing was sent.
    headers: Vec<NamedValue>,
    /// The media type of its body.
    content_type: String,
    /// Its body; in base64 if it is no text.
    body: String,
    /// Whether `body` is in base64.
    body_is_base64: bool,
}

/// The answer to a test.
#[derive(Debug, Object)]
struct TestResponse {
    /// Its status.
    status: i32,
    /// Its headers, at most 16 KiB; `***` stands for what is secret.
    headers: Vec<NamedValue>,
    /// The first 16 KiB of its body, as text.
    body: Option<String>,
}

impl Example for TestResult {
    fn example() -> Self {
        let header =
            |name: &str, value: &str| named_values(vec![Header { name: name.to_owned(), value: value.to_owned() }]);
        Self {
            delivered: false,
            error_class: Some("http_client_error".to_owned()),
            error_message: Some("the answer was 401".to_owned()),
            started_at: Some(Time(Timestamp::from_millis(1_769_860_800_000))),
            duration_ms: Some(41.7),
            phases: Some(AttemptPhases::example()),
            request: Some(TestRequest {
                message_id: "msg_abqv5r5azy4rgtfna4j5pzfbr3".to_owned(),
                method: "POST".to_owned(),
                origin: "https://hooks.example.com".to_owned(),
                path_suffix: String::new(),
                headers: header("webhook-id", "msg_abqv5r5azy4rgtfna4j5pzfbr3"),
                content_type: "application/json".to_owned(),
                body:
                    r#"{"type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","data":{"order_id":"ord_1042"}}"#
                        .to_owned(),
                body_is_base64: false,
            }),
            response: Some(TestResponse {
                status: 401,
                headers: header("content-type", "text/plain"),
                body: Some("signature does not match".to_owned()),
            }),
        }
    }
}

impl TestResult {
    /// Of what ended without a request.
    fn unsent(class: Option<ErrorClass>, why: Option<String>) -> Self {
        Self {
            delivered: false,
            error_class: class.map(|class| class.to_string()),
            error_message: why,
            started_at: None,
            duration_ms: None,
            phases: None,
            request: None,
            response: None,
        }
    }

    /// Of what the log tells of it.
    fn of(request: TestRequest, event: DeliveryEvent) -> Self {
        let result = match event.body {
            DeliveryEventBody::Attempted(attempted) => return Self::attempted(request, attempted),
            DeliveryEventBody::DeadLettered(dead) => Self::unsent(Some(dead.error), dead.error_message),
            DeliveryEventBody::Cancelled(_) => {
                Self::unsent(None, Some("it was cancelled, or the endpoint deleted".to_owned()))
            }
            DeliveryEventBody::Parked(_) | DeliveryEventBody::Held(_) | DeliveryEventBody::Skipped(_) => {
                Self::unsent(None, Some("it was put aside: test again".to_owned()))
            }
        };
        Self { request: Some(request), ..result }
    }

    fn attempted(request: TestRequest, attempted: Attempted) -> Self {
        let phases = AttemptPhases::of(attempted.phases.unwrap_or_default(), attempted.duration_us);
        let response_headers = named_values(attempted.response_headers);
        Self {
            delivered: attempted.error.is_none(),
            started_at: Some(Time(attempted.started_at)),
            duration_ms: Some(Duration::from_micros(attempted.duration_us.unsigned_abs()).as_secs_f64() * 1e3),
            phases: Some(phases),
            request: Some(TestRequest { headers: named_values(attempted.request_headers), ..request }),
            response: attempted.status.map(|status| TestResponse {
                status,
                headers: response_headers,
                body: attempted.response_excerpt,
            }),
            ..Self::unsent(attempted.error, attempted.error_message)
        }
    }
}

impl TestRequest {
    fn of(delivery: &Delivery, origin: String) -> Self {
        let text = std::str::from_utf8(&delivery.body);
        Self {
            message_id: delivery.message_id.to_string(),
            method: delivery.method.as_str().to_owned(),
            origin,
            path_suffix: delivery.path_suffix.clone(),
            headers: Vec::new(),
            content_type: delivery.content_type.clone(),
            body_is_base64: text.is_err(),
            body: text.map_or_else(|_| BASE64_STANDARD.encode(&delivery.body), str::to_owned),
        }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Verify",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl TestSends {
    /// Send a test
    ///
    /// Scope `endpoints:test`. Sends a made-up event to the endpoint, the same road as every other: with its headers,
    /// signature and certificates, from the process that delivers to it. It is tried once, also while the endpoint is
    /// paused or disabled, counts for nothing, and is answered once the endpoint has answered or its time-out is over.
    #[oai(path = "/endpoints/:id/test", method = "post", operation_id = "sendTest")]
    async fn send(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        body: Body<TestInput>,
    ) -> Result<Found<TestResult>, WriteProblem> {
        let tenant = auth.tenant(Scope::EndpointsTest)?;
        let endpoint: EndpointId = id.parse().map_err(|_| Problem::not_found("endpoint", &id))?;
        let input = body.0;
        if let Some(event_type) = &input.event_type {
            validate_event_type(event_type).map_err(|error| Problem::field("/event_type", error.to_string()))?;
        }
        let mut transaction = state.pool.tenant(tenant).await?;
        let row = endpoints::get(&mut transaction, tenant, &endpoint).await?;
        let row = row.ok_or_else(|| Problem::not_found("endpoint", &id))?;
        let data = data(&mut transaction, &input).await?;
        let event_type = input.event_type.unwrap_or_else(|| DEFAULT_EVENT_TYPE.to_owned());
        let subscription =
            subscription(&mut transaction, tenant, &row, input.subscription_id.as_deref(), &event_type).await?;
        transaction.commit().await?;

        let now = clock::now();
        let test = TestEvent {
            id: SubscriptionId::generate(now, &mut clock::rng()).as_str().replace(SubscriptionId::PREFIX, "evt_"),
            tenant: tenant.clone(),
            endpoint,
            event_type,
            data,
            time: now,
        };
        let mapping = subscription.as_ref().map(|found| (found.id.clone(), found.mapping.as_ref()));
        let delivery = match compose(test, row.settings.body, mapping) {
            Ok(delivery) => delivery,
            Err(error) => return Ok(Found(TestResult::unsent(Some(error.class()), Some(error.to_string())))),
        };
        let request = TestRequest::of(&delivery, row.origin);
        let patience = (Duration::from_millis(row.timeout_ms.into()) + SLACK).min(MAX_PATIENCE);
        let outcome = state.tests.send(delivery, patience).await;
        let event = outcome.map_err(|error| Problem::new(ProblemKind::Unavailable, error.to_string()))?;
        Ok(Found(TestResult::of(request, event)))
    }
}

/// The payload: what is given, or the sample of its type.
async fn data(conn: &mut PgConnection, input: &TestInput) -> Result<Bytes, Problem> {
    let data = match (&input.data, &input.event_type) {
        (Some(data), _) => Bytes::copy_from_slice(data.0.get().as_bytes()),
        (None, None) => Bytes::from_static(DEFAULT_DATA.as_bytes()),
        (None, Some(event_type)) => {
            let sample = event_types::get(conn, event_type).await?.and_then(|row| row.sample);
            let sample = sample.ok_or_else(|| {
                Problem::field("/data", format!("is needed: the catalogue has no sample of '{event_type}'"))
            })?;
            Bytes::copy_from_slice(sample.as_str().as_bytes())
        }
    };
    if data.len() > MAX_BODY_BYTES {
        let detail = format!("data has {} bytes, at most {MAX_BODY_BYTES} are allowed", data.len());
        return Err(Problem::new(ProblemKind::PayloadTooLarge, detail).at("/data"));
    }
    Ok(data)
}

/// The subscription whose mapping is used: the one that is named, or the oldest that wants the type, if one does.
async fn subscription(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointRow,
    named: Option<&str>,
    event_type: &str,
) -> Result<Option<SubscriptionRow>, Problem> {
    if let Some(id) = named {
        let missing = || Problem::not_found("subscription of this endpoint", id).at("/subscription_id");
        let parsed: SubscriptionId = id.parse().map_err(|_| missing())?;
        let row = subscriptions::get(conn, tenant, &parsed).await?;
        return row.filter(|row| row.endpoint == endpoint.id).map(Some).ok_or_else(missing);
    }
    let limit = i64::try_from(MAX_PER_ENDPOINT).unwrap_or(i64::MAX);
    let rows = subscriptions::list(conn, tenant, Some(&endpoint.id), None, limit).await?;
    let wanting = rows.into_iter().filter(|row| row.event_types.iter().any(|pattern| pattern.matches(event_type)));
    Ok(wanting.min_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id))))
}
