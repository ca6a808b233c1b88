//! Orders about deliveries that wait where nobody can reach them: cancelled, or sent ahead of their time.
//!
//! An order is a record of `postrider.overrides`, which every dispatcher reads. It is acknowledged before the
//! transaction that writes it down ends, so that nothing is said to be ordered that is not; what is ordered and not
//! written down can be ordered again.

use std::time::Duration;

use postrider_domain::{
    MessageId, Routing, Run, TenantId, Timestamp,
    overrides::{OVERRIDE_KEPT, Override, override_key},
};
use postrider_postgres::{
    Error, PgConnection,
    delivery_log::{self, DeliveryOrder, DeliveryRow, DeliveryStatus},
    endpoints::{self, EndpointRow},
};
use serde_json::json;

use crate::{
    api::{ApiState, StoredDelivery},
    audit::{Actor, Change, record},
};

/// Which run is meant, and who orders what about it.
#[derive(Clone, Copy)]
pub struct Ordering<'a> {
    /// What it is done with.
    pub state: &'a ApiState,
    /// How long Kafka is waited for.
    pub patience: Duration,
    /// Whose.
    pub tenant: &'a TenantId,
    /// Which message.
    pub message: &'a MessageId,
    /// Which run of it.
    pub run: &'a Run,
    /// Who orders.
    pub actor: &'a Actor,
    /// When.
    pub now: Timestamp,
}

/// Why nothing was ordered.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such run.
    #[error("there is no such delivery")]
    NotFound,
    /// It is in no state in which this can be done; in words, with what can be done.
    #[error("{0}")]
    State(String),
    /// Kafka does not have the delivery any more.
    #[error("Kafka does not keep the delivery any more")]
    Gone,
    /// Kafka does not answer.
    #[error("Kafka can't be reached for this: {0}; try again")]
    Unavailable(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

/// Ends a delivery that waits. One that was cancelled already stays so.
pub async fn cancel(ordering: Ordering<'_>) -> Result<DeliveryRow, OrderError> {
    let Ordering { state, tenant, message, run, now, .. } = ordering;
    let mut transaction = state.pool.tenant(tenant).await?;
    let (known, row) = ordering.begin(&mut transaction).await?;
    if row.status == DeliveryStatus::Cancelled {
        return Ok(row);
    }
    may_cancel(row.status).map_err(OrderError::State)?;
    let order = DeliveryOrder { cancelled: true, ..known };
    ordering.order(order).await?;
    delivery_log::mark_cancelled(&mut transaction, tenant, message, run, now).await?;
    ordering.write_down(&mut transaction, "delivery.cancel", &row, order).await?;
    let row = read(&mut transaction, ordering).await?;
    transaction.commit().await?;
    Ok(row)
}

/// Sends a delivery that waits for its next attempt ahead of its time; what is left waiting of it is superseded.
pub async fn retry(ordering: Ordering<'_>) -> Result<DeliveryRow, OrderError> {
    let Ordering { state, tenant, message, run, now, .. } = ordering;
    let mut transaction = state.pool.tenant(tenant).await?;
    let (known, row) = ordering.begin(&mut transaction).await?;
    let endpoint = endpoints::get(&mut transaction, tenant, &row.endpoint).await?;
    may_retry(known, row.status, endpoint.as_ref()).map_err(OrderError::State)?;
    let stored = ordering.stored(&row).await?;
    let first_attempt_at = first_attempt(&mut transaction, ordering).await?;
    let order = DeliveryOrder { generation: known.generation + 1, ..known };
    let routing = ahead(&row, &stored.routing, first_attempt_at, order.generation);
    // The delivery first: what is superseded must not be all there is.
    ordering.in_time(state.deliveries.send(&StoredDelivery { routing, ..stored })).await?;
    ordering.order(order).await?;
    delivery_log::mark_due(&mut transaction, tenant, message, run, now).await?;
    ordering.write_down(&mut transaction, "delivery.retry", &row, order).await?;
    let row = read(&mut transaction, ordering).await?;
    transaction.commit().await?;
    Ok(row)
}

/// The delivery as it stands in Kafka, if that is still this one.
pub async fn payload(ordering: Ordering<'_>) -> Result<StoredDelivery, OrderError> {
    let mut conn = ordering.state.pool.tenant(ordering.tenant).await?;
    let row = read(&mut conn, ordering).await?;
    drop(conn);
    ordering.stored(&row).await
}

/// Whether what is in this state can be cancelled. Error: why not.
fn may_cancel(status: DeliveryStatus) -> Result<(), String> {
    match status {
        DeliveryStatus::Waiting | DeliveryStatus::Held | DeliveryStatus::Retrying => Ok(()),
        DeliveryStatus::Failed => Err("it is in the dead-letter queue, and nothing of it waits: purge it there".into()),
        DeliveryStatus::Delivered | DeliveryStatus::Skipped | DeliveryStatus::Cancelled => {
            Err(format!("it is {status}: nothing of it waits"))
        }
    }
}

/// Whether what is in this state can be sent to its endpoint at once. Error: why not, and what can be done.
fn may_retry(known: DeliveryOrder, status: DeliveryStatus, endpoint: Option<&EndpointRow>) -> Result<(), String> {
    match status {
        // Attempts that had been made by then came into the log later; what is sent now would be cancelled as well.
        DeliveryStatus::Waiting | DeliveryStatus::Retrying if known.cancelled => {
            return Err("it was cancelled: no attempt follows".into());
        }
        DeliveryStatus::Waiting | DeliveryStatus::Retrying => {}
        DeliveryStatus::Held => {
            return Err(
                "it is held until its turn comes: resume its endpoint, or wait until it works off what it has".into()
            );
        }
        DeliveryStatus::Failed => return Err("it is in the dead-letter queue: redrive it".into()),
        DeliveryStatus::Delivered | DeliveryStatus::Skipped | DeliveryStatus::Cancelled => {
            return Err(format!("it is {status}: no attempt follows"));
        }
    }
    match endpoint {
        None => Err("its endpoint was deleted".into()),
        Some(endpoint) if !endpoint.enabled => Err("its endpoint is disabled: enable it first".into()),
        Some(endpoint) if endpoint.settings.paused => Err("its endpoint is paused: resume it first".into()),
        // A second record of it would come behind those that it stands in front of.
        Some(endpoint) if endpoint.settings.ordering.is_some() => Err(
            "its endpoint is ordered, and it waits in its key's place: resume the endpoint to try its heads again, \
                 or cancel the delivery to let the next one go"
                .into(),
        ),
        Some(_) => Ok(()),
    }
}

/// The routing of the attempt that comes next, made at once. `stored` is what the record had that was seen last.
fn ahead(row: &DeliveryRow, stored: &Routing, first_attempt_at: Option<Timestamp>, generation: u32) -> Routing {
    // After an attempt that counts comes the next one; what was only put aside comes again as it was.
    let counted = row.status == DeliveryStatus::Retrying && row.rank == DeliveryStatus::Retrying.rank();
    let last = u32::try_from(row.attempt).ok().and_then(postrider_domain::Attempt::new);
    let last = last.unwrap_or(postrider_domain::Attempt::FIRST);
    Routing {
        attempt: if counted { last.next() } else { last },
        first_attempt_at: stored.first_attempt_at.or(first_attempt_at),
        not_before: None,
        generation,
        ..stored.clone()
    }
}

async fn read(conn: &mut PgConnection, ordering: Ordering<'_>) -> Result<DeliveryRow, OrderError> {
    let row = delivery_log::get(conn, ordering.tenant, ordering.message, ordering.run).await?;
    row.ok_or(OrderError::NotFound)
}

async fn first_attempt(conn: &mut PgConnection, ordering: Ordering<'_>) -> Result<Option<Timestamp>, Error> {
    let attempts = delivery_log::attempts_of(conn, ordering.tenant, ordering.message).await?;
    Ok(attempts.into_iter().find(|attempt| attempt.run == *ordering.run).map(|attempt| attempt.started_at))
}

impl Ordering<'_> {
    /// What was ordered so far, which nobody else changes now, and how far the delivery has come.
    async fn begin(&self, conn: &mut PgConnection) -> Result<(DeliveryOrder, DeliveryRow), OrderError> {
        // Nothing is written about what is not there.
        read(conn, *self).await?;
        let known = delivery_log::lock_order(conn, self.tenant, self.message, self.run, self.until()).await?;
        Ok((known, read(conn, *self).await?))
    }

    fn until(&self) -> Timestamp {
        self.state.broker_clock.now() + OVERRIDE_KEPT
    }

    /// The record that the log says is the delivery's, if that is still so: where a topic was made anew, another one
    /// stands there.
    async fn stored(&self, row: &DeliveryRow) -> Result<StoredDelivery, OrderError> {
        let at = row.payload.as_ref().ok_or(OrderError::Gone)?;
        let stored = self.in_time(self.state.deliveries.read(at)).await?.ok_or(OrderError::Gone)?;
        let delivery = &stored.delivery;
        let is_it = delivery.tenant == *self.tenant
            && delivery.event_id == row.event_id
            && delivery.message_id == row.message_id
            && delivery.run == row.run;
        if is_it { Ok(stored) } else { Err(OrderError::Gone) }
    }

    /// Tells the dispatchers.
    async fn order(&self, order: DeliveryOrder) -> Result<(), OrderError> {
        let order = Override {
            message_id: self.message.clone(),
            run: self.run.clone(),
            cancelled: order.cancelled,
            superseded_below: order.generation,
            until: self.until(),
        };
        self.in_time(self.state.deliveries.order(&order)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, OrderError> {
        let done = tokio::time::timeout(self.patience, work).await;
        done.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(OrderError::Unavailable)
    }

    async fn write_down(
        &self,
        conn: &mut PgConnection,
        action: &'static str,
        before: &DeliveryRow,
        order: DeliveryOrder,
    ) -> Result<(), Error> {
        delivery_log::put_order(conn, self.tenant, self.message, self.run, order).await?;
        delivery_log::forget_orders(conn, self.state.broker_clock.now()).await?;
        let change = Change {
            tenant: Some(self.tenant),
            action,
            entity_id: &override_key(self.message, self.run),
            before: Some(json!({ "status": before.status.as_str(), "attempt": before.attempt })),
            after: Some(json!({ "cancelled": order.cancelled, "generation": order.generation })),
        };
        record(conn, self.actor, self.now, change).await
    }
}
