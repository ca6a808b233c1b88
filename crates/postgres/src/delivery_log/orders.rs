//! Orders about deliveries that wait, and what they change in the log.

use postrider_domain::{MessageId, Run, TenantId, Timestamp};
use sqlx::{Error, PgConnection};

/// The most old orders that are forgotten at once.
const MAX_FORGOTTEN: i64 = 100;

/// What was ordered about one run of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryOrder {
    /// How often it was sent ahead of its time.
    pub generation: u32,
    /// Whether it is not wanted any more.
    pub cancelled: bool,
}

/// What was ordered so far; keeps others from ordering anything about the same run until the transaction ends.
pub async fn lock_order(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
    run: &Run,
    until: Timestamp,
) -> Result<DeliveryOrder, Error> {
    let row = sqlx::query!(
        "INSERT INTO delivery_orders AS stored (message_id, run, tenant_id, generation, cancelled, until)
         VALUES ($1, $2, $3, 0, false, $4)
         ON CONFLICT (message_id, run) DO UPDATE SET until = greatest(stored.until, excluded.until)
         RETURNING generation, cancelled",
        message.as_str(),
        run.to_string(),
        tenant.as_str(),
        until.to_datetime(),
    )
    .fetch_one(conn)
    .await?;
    Ok(DeliveryOrder { generation: u32::try_from(row.generation).unwrap_or(0), cancelled: row.cancelled })
}

/// Writes down what is ordered now.
pub async fn put_order(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
    run: &Run,
    order: DeliveryOrder,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE delivery_orders SET generation = $4, cancelled = $5
         WHERE tenant_id = $1 AND message_id = $2 AND run = $3",
        tenant.as_str(),
        message.as_str(),
        run.to_string(),
        i32::try_from(order.generation).unwrap_or(i32::MAX),
        order.cancelled,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets orders that are in force no more at `now`, of whoever the transaction sees, the oldest first, at most 100.
pub async fn forget_orders(conn: &mut PgConnection, now: Timestamp) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM delivery_orders WHERE (message_id, run) IN (
             SELECT message_id, run FROM delivery_orders WHERE until < $1 ORDER BY until LIMIT $2
             FOR UPDATE SKIP LOCKED)",
        now.to_datetime(),
        MAX_FORGOTTEN,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A run of `tenant` that waits counts as cancelled before its next attempt, as it will be once it is met: what comes
/// of an attempt that is being made is told by that.
pub async fn mark_cancelled(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
    run: &Run,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE deliveries SET
             attempt = CASE WHEN rank = 2 AND next_attempt_at IS NOT NULL THEN attempt + 1 ELSE attempt END,
             status = 'cancelled',
             rank = 4,
             next_attempt_at = NULL,
             held_partition = NULL,
             held_offset = NULL,
             updated_at = greatest(updated_at, $4)
         WHERE tenant_id = $1 AND message_id = $2 AND run = $3 AND status IN ('waiting', 'held', 'retrying')",
        tenant.as_str(),
        message.as_str(),
        run.to_string(),
        now.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A run of `tenant` that waits is tried again at `now`, not when it was due.
pub async fn mark_due(
    conn: &mut PgConnection,
    tenant: &TenantId,
    message: &MessageId,
    run: &Run,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE deliveries SET next_attempt_at = $4
         WHERE tenant_id = $1 AND message_id = $2 AND run = $3 AND status IN ('waiting', 'retrying')
             AND next_attempt_at > $4",
        tenant.as_str(),
        message.as_str(),
        run.to_string(),
        now.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
