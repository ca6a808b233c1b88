//! Table `endpoint_history`: when endpoints were enabled, disabled, paused and resumed.

use postrider_domain::{EndpointId, TenantId, Timestamp};
use sqlx::{Error, PgConnection};

use crate::{endpoints::DisabledReason, undecodable, words::words};

/// One change of what is sent to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its place in the history; filled in when it is written.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub change: HistoryChange,
    /// Why, of a disable.
    pub reason: Option<DisabledReason>,
    /// What was said to it.
    pub note: Option<String>,
    /// The id of the API key, or what else did it.
    pub actor: String,
}

words! {
    /// What changed.
    HistoryChange, "a change of what is sent to an endpoint" {
        /// It was enabled.
        Enabled = "enabled",
        /// It was disabled.
        Disabled = "disabled",
        /// It was paused.
        Paused = "paused",
        /// It was resumed.
        Resumed = "resumed",
    }
}

/// A record of `SELECT *`.
struct Record {
    id: i64,
    at: chrono::DateTime<chrono::Utc>,
    change: String,
    reason: Option<String>,
    note: Option<String>,
    actor: String,
}

/// Adds a change.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    new: &HistoryRow,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO endpoint_history (tenant_id, endpoint_id, at, change, reason, note, actor)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant.as_str(),
        endpoint.as_str(),
        new.at.to_datetime(),
        new.change.as_str(),
        new.reason.map(DisabledReason::as_str),
        new.note,
        new.actor,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` changes of an endpoint before the one given, newest first.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<HistoryRow>, Error> {
    let records = sqlx::query_as!(
        Record,
        "SELECT id, at, change, reason, note, actor FROM endpoint_history
         WHERE tenant_id = $1 AND endpoint_id = $2 AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        tenant.as_str(),
        endpoint.as_str(),
        before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let row = |record: Record| {
        let reason = record.reason.map(|text| text.parse::<DisabledReason>()).transpose();
        Ok(HistoryRow {
            id: record.id,
            at: Timestamp::from_datetime(record.at),
            change: record.change.parse::<HistoryChange>().map_err(|error| undecodable("change", error))?,
            reason: reason.map_err(|error| undecodable("reason", error))?,
            note: record.note,
            actor: record.actor,
        })
    };
    records.into_iter().map(row).collect()
}
