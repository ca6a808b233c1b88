//! `/v1/deliveries`: what became of events, endpoint by endpoint.

use poem::web::Data;
use poem_openapi::{
    Enum, OpenApi,
    param::{Path, Query},
};
use postrider_domain::{EndpointId, EventId, MessageId};
use postrider_postgres::delivery_log::{self, DeliveryFilter, DeliveryStatus};

use super::{
    access::Authenticated,
    delivery_types::{Cursor, Delivery, Message},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{Problem, ProblemKind, ReadProblem},
    respond::Found,
    state::ApiState,
};
use crate::auth::Scope;

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
        };
        let page = PageRequest::<Cursor>::parse(cursor.0.as_deref(), limit.0)?;
        let after = page.after.as_ref().map(|cursor| &cursor.0);
        let mut transaction = state.pool.tenant(tenant).await?;
        let rows = delivery_log::list(&mut transaction, tenant, &filter, after, page.rows_to_read()).await?;
        transaction.commit().await?;
        Ok(Found(page.page(rows, |row| Cursor(row.key()).to_string(), |row| Ok(row.into()))?))
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
