//! `/v1/deliveries`: what became of events, endpoint by endpoint, and what to do about those that wait.

use poem::web::Data;
use poem_openapi::{
    Enum, OpenApi,
    param::{Path, Query},
};
use postrider_domain::{EndpointId, ErrorClass, EventId, MessageId, Run, TenantId, Timestamp};
use postrider_postgres::{
    delivery_log::{self, DeliveryFilter, DeliveryStatus},
    rollups::Subject,
};

use super::{
    access::Authenticated,
    delivery_payload::DeliveryPayload,
    delivery_types::{Cursor, Delivery, Kind, MAX_MILLIS, Message, PendingDeliveries},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{OrderProblem, PayloadProblem, Problem, ProblemKind, ReadProblem},
    respond::{Accepted, Found},
    state::{ApiConfig, ApiState},
};
use crate::{
    audit::Actor,
    auth::Scope,
    clock,
    manage::delivery_orders::{self, OrderError, Ordering},
};

/// Up to where what waits is counted, of each kind.
const MAX_COUNTED: i64 = 100_000;

/// The operations.
pub(crate) struct Deliveries;

/// How far a delivery has come: `waiting` (put aside for a short while without an attempt, because its endpoint has no
/// room; goes on by itself), `held` (put aside for longer, because its endpoint is paused, disabled, or far behind;
/// goes on when the endpoint does), `retrying` (an attempt failed, another one follows at `next_attempt_at`; if that is
/// null, it blocks its ordering key until somebody acts), `delivered` (answered with 2xx), `failed` (in the dead-letter
/// queue), `skipped` (its endpoint was resumed without it), `cancelled` (its endpoint was deleted, or it was asked
/// for).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DeliveryStatus", rename_all = "snake_case")]
pub(super) enum Status {
    Waiting,
    Held,
    Retrying,
    Delivered,
    Failed,
    Skipped,
    Cancelled,
}

impl From<DeliveryStatus> for Status {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Waiting => Self::Waiting,
            DeliveryStatus::Held => Self::Held,
            DeliveryStatus::Retrying => Self::Retrying,
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Failed => Self::Failed,
            DeliveryStatus::Skipped => Self::Skipped,
            DeliveryStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Status> for DeliveryStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Waiting => Self::Waiting,
            Status::Held => Self::Held,
            Status::Retrying => Self::Retrying,
            Status::Delivered => Self::Delivered,
            Status::Failed => Self::Failed,
            Status::Skipped => Self::Skipped,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Deliveries",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl Deliveries {
    /// List deliveries
    ///
    /// Scope `deliveries:read`. The latest matched first. A delivery is listed once something has happened to it:
    /// an attempt, or that it had to wait; usually within a second of that.
    #[oai(path = "/deliveries", method = "get", operation_id = "listDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// Only those of events of exactly this type.
        #[oai(validator(max_length = 256))]
        event_type: Query<Option<String>>,
        /// Only those that have come this far.
        status: Query<Option<Status>>,
        /// Only those of this message (the `webhook-id`): one for each run.
        message_id: Query<Option<String>>,
        /// Only those of this event: one for each endpoint that it went to, and run.
        #[oai(validator(max_length = 1024))]
        event_id: Query<Option<String>>,
        /// Only those whose last attempt failed so: a name as in `last_error`.
        error_class: Query<Option<String>>,
        /// Only those whose last answer had this HTTP status: 100 to 999.
        http_status: Query<Option<i32>>,
        /// Only those that were matched then or later, RFC 3339.
        since: Query<Option<String>>,
        /// Only those that were matched before, RFC 3339.
        until: Query<Option<String>>,
        /// Only live ones, or only test sends.
        kind: Query<Option<Kind>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<Delivery>>, ReadProblem> {
        let tenant = auth.tenant(Scope::DeliveriesRead)?;
        let filter = DeliveryFilter {
            endpoint: endpoint_id.0.map(|text| parse_parameter::<EndpointId>("endpoint_id", &text)).transpose()?,
            event_type: event_type.0.map(|text| storable("event_type", text)).transpose()?,
            status: status.0.map(Into::into),
            message: message_id.0.map(|text| parse_parameter::<MessageId>("message_id", &text)).transpose()?,
            event: event_id.0.map(|text| storable("event_id", text)).transpose()?.map(EventId::from_trusted),
            error: error_class.0.map(|text| parse_parameter("error_class", &text)).transpose()?.map(ErrorClass::as_str),
            http_status: http_status.0.map(http_status_parameter).transpose()?,
            since: since.0.map(|text| time("since", &text)).transpose()?,
            until: until.0.map(|text| time("until", &text)).transpose()?,
            kind: kind.0.map(Into::into),
        };
        let page = PageRequest::<Cursor>::parse(cursor.0.as_deref(), limit.0)?;
        let after = page.after.as_ref().map(|cursor| &cursor.0);
        let mut transaction = state.pool.tenant(tenant).await?;
        let rows =
            delivery_log::list(&mut transaction, tenant, &filter, after, page.rows_to_read(), clock::now()).await?;
        transaction.commit().await?;
        Ok(Found(page.page(rows, |row| Cursor(row.key()).to_string(), |row| Ok(row.into()))?))
    }

    /// Count what waits
    ///
    /// Scope `deliveries:read`. How many deliveries wait, by what they wait for. An operator key without a tenant counts
    /// those of the whole deployment, and sees how many more are matched and not looked at yet.
    #[oai(path = "/deliveries/pending", method = "get", operation_id = "countPendingDeliveries")]
    async fn pending(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// Only those to this endpoint.
        endpoint_id: Query<Option<String>>,
    ) -> Result<Found<PendingDeliveries>, ReadProblem> {
        let endpoint: Option<EndpointId> =
            endpoint_id.0.map(|text| parse_parameter("endpoint_id", &text)).transpose()?;
        // An endpoint is some tenant's.
        let tenant = match &endpoint {
            Some(_) => Some(auth.tenant(Scope::DeliveriesRead)?),
            None => auth.visible(Scope::DeliveriesRead)?,
        };
        let queued = async {
            let asked = tokio::time::timeout(config.publish_timeout, state.deliveries.queued()).await;
            asked.ok()?.ok()
        };
        let queued = if tenant.is_none() { queued.await } else { None };
        let mut transaction = state.pool.begin_for(tenant).await?;
        let subject = match (tenant, &endpoint) {
            (None, _) => Subject::Deployment,
            (Some(tenant), None) => Subject::Tenant(tenant),
            (Some(tenant), Some(endpoint)) => Subject::Endpoint(tenant, endpoint),
        };
        let counts = delivery_log::pending(&mut transaction, subject, MAX_COUNTED).await?;
        transaction.commit().await?;
        Ok(Found(PendingDeliveries::of(counts, queued)))
    }

    /// Get a message's deliveries
    ///
    /// Scope `deliveries:read`. Every run of one message (the live delivery, and replays), each with its attempts in
    /// the order in which they were made. At most 100 runs, and the last 500 attempts of all of them.
    #[oai(path = "/deliveries/:message_id", method = "get", operation_id = "getDelivery")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The message's id: the `webhook-id` that the endpoint received.
        message_id: Path<String>,
    ) -> Result<Found<Message>, ReadProblem> {
        let tenant = auth.tenant(Scope::DeliveriesRead)?;
        let missing = || Problem::not_found("delivery", &message_id);
        let message: MessageId = message_id.parse().map_err(|_| missing())?;
        let mut conn = state.pool.tenant(tenant).await?;
        let runs = delivery_log::runs_of(&mut conn, tenant, &message).await?;
        let attempts = delivery_log::attempts_of(&mut conn, tenant, &message).await?;
        Ok(Found(Message::assemble(runs, attempts).ok_or_else(missing)?))
    }

    /// Get what a delivery sends
    ///
    /// Scope `deliveries:read`. The request's body as it was rendered when the event was matched, read from Kafka, which
    /// keeps it for seven days after the delivery was last handed over, or 30 where it is held; after that 410.
    #[oai(path = "/deliveries/:message_id/payload", method = "get", operation_id = "getDeliveryPayload")]
    async fn payload(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// The message's id.
        message_id: Path<String>,
        /// Which run: `0`, the live one, if not given.
        run: Query<Option<String>>,
    ) -> Result<Found<DeliveryPayload>, PayloadProblem> {
        let tenant = auth.tenant(Scope::DeliveriesRead)?;
        let actor = auth.0.actor();
        let ordered = Ordered::parse(&message_id, run.0.as_deref())?;
        let stored = delivery_orders::payload(ordered.ordering(state, config, tenant, &actor)).await;
        Ok(Found(stored.map_err(|error| ordered.not_done(error))?.delivery.into()))
    }

    /// Try a delivery again now
    ///
    /// Scope `deliveries:write`. For a delivery that waits for its next attempt: it goes to its endpoint at once, and
    /// what was left waiting of it is dropped. The attempt counts as the one that was due. Not for what is held (its
    /// endpoint has to go on), what is in the dead-letter queue (redrive it), nor for ordered endpoints.
    #[oai(path = "/deliveries/:message_id/retry", method = "post", operation_id = "retryDelivery")]
    async fn retry(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// The message's id.
        message_id: Path<String>,
        /// Which run: `0`, the live one, if not given.
        run: Query<Option<String>>,
    ) -> Result<Accepted<Delivery>, OrderProblem> {
        let tenant = auth.tenant(Scope::DeliveriesWrite)?;
        let actor = auth.0.actor();
        let ordered = Ordered::parse(&message_id, run.0.as_deref())?;
        let row = delivery_orders::retry(ordered.ordering(state, config, tenant, &actor)).await;
        Ok(Accepted(row.map_err(|error| ordered.not_done(error))?.into()))
    }

    /// Cancel a delivery
    ///
    /// Scope `deliveries:write`. For a delivery that waits, is held or is to be tried again: no further attempt is made.
    /// One that is being made just now may still succeed, and then counts.
    #[oai(path = "/deliveries/:message_id/cancel", method = "post", operation_id = "cancelDelivery")]
    async fn cancel(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// The message's id.
        message_id: Path<String>,
        /// Which run: `0`, the live one, if not given.
        run: Query<Option<String>>,
    ) -> Result<Accepted<Delivery>, OrderProblem> {
        let tenant = auth.tenant(Scope::DeliveriesWrite)?;
        let actor = auth.0.actor();
        let ordered = Ordered::parse(&message_id, run.0.as_deref())?;
        let row = delivery_orders::cancel(ordered.ordering(state, config, tenant, &actor)).await;
        Ok(Accepted(row.map_err(|error| ordered.not_done(error))?.into()))
    }
}

/// Which run of which message a request is about.
struct Ordered {
    message: MessageId,
    run: Run,
}

impl Ordered {
    fn parse(message: &str, run: Option<&str>) -> Result<Self, Problem> {
        let run = run.map_or(Ok(Run::LIVE), |text| parse_parameter("run", text))?;
        let message = message.parse().map_err(|_| Problem::not_found("delivery", message))?;
        Ok(Self { message, run })
    }

    fn ordering<'a>(
        &'a self,
        state: &'a ApiState,
        config: &ApiConfig,
        tenant: &'a TenantId,
        actor: &'a Actor,
    ) -> Ordering<'a> {
        let (patience, now) = (config.publish_timeout, clock::now());
        Ordering { state, patience, tenant, message: &self.message, run: &self.run, actor, now }
    }

    fn not_done(&self, error: OrderError) -> Problem {
        match error {
            OrderError::NotFound if self.run == Run::LIVE => Problem::not_found("delivery", self.message.as_str()),
            OrderError::NotFound => {
                Problem::not_found("delivery", &format!("{} in the run {}", self.message, self.run)).at("run")
            }
            OrderError::State(_) => Problem::new(ProblemKind::Conflict, error.to_string()),
            OrderError::Gone => Problem::new(ProblemKind::PayloadGone, error.to_string()),
            OrderError::Unavailable(_) => Problem::new(ProblemKind::Unavailable, error.to_string()),
            OrderError::Database(error) => error.into(),
        }
    }
}

fn http_status_parameter(status: i32) -> Result<i32, Problem> {
    let problem = || Problem::new(ProblemKind::BadRequest, "http_status must be 100 to 999").at("http_status");
    (100..=999).contains(&status).then_some(status).ok_or_else(problem)
}

fn time(name: &'static str, text: &str) -> Result<Timestamp, Problem> {
    let problem = || {
        let detail = format!("{name} is not a time: expected RFC 3339, as 2026-01-31T12:00:00Z");
        Problem::new(ProblemKind::BadRequest, detail).at(name)
    };
    Timestamp::parse_rfc3339(text).filter(|time| (0..=MAX_MILLIS).contains(&time.as_millis())).ok_or_else(problem)
}

/// An id given as a parameter.
fn parse_parameter<T: std::str::FromStr<Err: std::fmt::Display>>(name: &'static str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::new(ProblemKind::BadRequest, error.to_string()).at(name))
}

/// A text to compare with what is stored, which never has NUL in it.
fn storable(name: &'static str, text: String) -> Result<String, Problem> {
    if text.contains('\0') {
        return Err(Problem::new(ProblemKind::BadRequest, format!("{name} contains NUL; remove it")).at(name));
    }
    Ok(text)
}
