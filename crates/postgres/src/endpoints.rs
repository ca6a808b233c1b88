//! Table `endpoints`.

use std::collections::BTreeMap;

use postrider_domain::{
    EndpointId, TenantId, Timestamp, endpoint::EndpointSettings, endpoint_state::DisableReason, retry::RetryPolicy,
    seal::Sealed,
};
use serde::{Deserialize, Serialize};
use sqlx::{Error, PgConnection, types::Json};

use crate::{json_text, undecodable, words::words};

/// An endpoint's row.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointRow {
    /// Its id.
    pub id: EndpointId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its URL, sealed.
    pub url: Sealed,
    /// The URL's scheme, host and port.
    pub origin: String,
    /// Whether deliveries are sent.
    pub enabled: bool,
    /// Counts enablings, resumptions and changes of the URL.
    pub enabled_version: i64,
    /// Why it is disabled; none while it is enabled.
    pub disabled: Option<Disabled>,
    /// Deadline of one attempt, milliseconds.
    pub timeout_ms: u32,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// Everything that has a default.
    pub settings: EndpointSettings,
    /// What its owner keeps with it.
    pub metadata: BTreeMap<String, String>,
    /// How it has to show that it wants events; none: it need not.
    pub verification: Option<Verification>,
    /// When it has shown that.
    pub verified_at: Option<Timestamp>,
    /// How its secret changes by itself; none: it does not.
    pub rotation: Option<Rotation>,
    /// Counts its changes.
    pub version: i64,
    /// The id of the API key, or what else made it; none for those that were made before this was kept.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Why and when an endpoint was disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// Why.
    pub reason: DisabledReason,
    /// When.
    pub at: Timestamp,
    /// What was said to it.
    pub note: Option<String>,
}

words! {
    /// Why an endpoint is disabled.
    DisabledReason, "why an endpoint is disabled" {
        /// It answered 410: it wants no more.
        Gone = "gone",
        /// It failed for days without a success.
        Failing = "failing",
        /// Somebody disabled it.
        Manual = "manual",
        /// It has yet to show that it wants events.
        Unverified = "unverified",
    }
}

impl DisabledReason {
    /// Whether the data plane disabled it.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Gone | Self::Failing)
    }
}

impl From<DisableReason> for DisabledReason {
    fn from(reason: DisableReason) -> Self {
        match reason {
            DisableReason::Gone => Self::Gone,
            DisableReason::Failing => Self::Failing,
        }
    }
}

words! {
    /// How an endpoint shows that it wants events.
    Verification, "a way to verify an endpoint" {
        /// It allows our origin when asked by `OPTIONS` (CloudEvents' abuse protection).
        Cloudevents = "cloudevents",
        /// It answers a challenge with what the challenge says.
        Challenge = "challenge",
    }
}

/// How an endpoint's secret changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// How.
    pub schedule: RotationSchedule,
    /// When next.
    pub next_at: Timestamp,
}

/// How often a secret changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationSchedule {
    /// After how many seconds.
    pub every_seconds: u32,
    /// For how many seconds the one before still signs.
    pub grace_seconds: u32,
}

/// A record of `SELECT *`.
struct Record {
    id: String,
    tenant_id: String,
    name: String,
    description: String,
    url_sealed: Vec<u8>,
    url_origin: String,
    enabled: bool,
    enabled_version: i64,
    disabled_reason: Option<String>,
    disabled_at: Option<chrono::DateTime<chrono::Utc>>,
    disabled_note: Option<String>,
    timeout_ms: i32,
    retry: Json<RetryPolicy>,
    settings: Json<EndpointSettings>,
    metadata: Json<BTreeMap<String, String>>,
    verification: Option<String>,
    verified_at: Option<chrono::DateTime<chrono::Utc>>,
    rotation: Option<Json<RotationSchedule>>,
    rotates_at: Option<chrono::DateTime<chrono::Utc>>,
    version: i64,
    created_by: Option<String>,
    created_at: chrono::DateTime<chrono::Utc>,
    updated_at: chrono::DateTime<chrono::Utc>,
}

impl TryFrom<Record> for EndpointRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        let reason = record.disabled_reason.map(|text| text.parse::<DisabledReason>()).transpose();
        let reason = reason.map_err(|error| undecodable("disabled_reason", error))?;
        let verification = record.verification.map(|text| text.parse::<Verification>()).transpose();
        let (rotation, rotates_at) = (record.rotation, record.rotates_at.map(Timestamp::from_datetime));
        Ok(Self {
            id: EndpointId::from_trusted(record.id),
            tenant: TenantId::from_trusted(record.tenant_id),
            name: record.name,
            description: record.description,
            url: Sealed::from_bytes(record.url_sealed).map_err(|error| undecodable("url_sealed", error))?,
            origin: record.url_origin,
            enabled: record.enabled,
            enabled_version: record.enabled_version,
            disabled: reason.zip(record.disabled_at).map(|(reason, at)| Disabled {
                reason,
                at: Timestamp::from_datetime(at),
                note: record.disabled_note,
            }),
            timeout_ms: record.timeout_ms.unsigned_abs(),
            retry: record.retry.0,
            settings: record.settings.0,
            metadata: record.metadata.0,
            verification: verification.map_err(|error| undecodable("verification", error))?,
            verified_at: record.verified_at.map(Timestamp::from_datetime),
            rotation: rotation.zip(rotates_at).map(|(schedule, next_at)| Rotation { schedule: schedule.0, next_at }),
            version: record.version,
            created_by: record.created_by,
            created_at: Timestamp::from_datetime(record.created_at),
            updated_at: Timestamp::from_datetime(record.updated_at),
        })
    }
}

/// Adds an endpoint as it is given.
pub async fn insert(conn: &mut PgConnection, tenant: &TenantId, new: &EndpointRow) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO endpoints (id, tenant_id, name, description, url_sealed, url_origin, enabled, enabled_version,
             timeout_ms, retry, settings, version, created_at, updated_at, disabled_reason, disabled_at, disabled_note,
             metadata, verification, verified_at, rotation, rotates_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::json, $12, $13, $14, $15, $16, $17,
             $18::text::json, $19, $20, $21::text::json, $22, $23)",
        new.id.as_str(),
        tenant.as_str(),
        new.name,
        new.description,
        new.url.as_bytes(),
        new.origin,
        new.enabled,
        new.enabled_version,
        timeout_column(new.timeout_ms),
        Json(&new.retry) as _,
        json_text(&new.settings),
        new.version,
        new.created_at.to_datetime(),
        new.updated_at.to_datetime(),
        new.disabled.as_ref().map(|disabled| disabled.reason.as_str()),
        new.disabled.as_ref().map(|disabled| disabled.at.to_datetime()),
        new.disabled.as_ref().and_then(|disabled| disabled.note.as_deref()),
        json_text(&new.metadata),
        new.verification.map(Verification::as_str),
        new.verified_at.map(Timestamp::to_datetime),
        new.rotation.map(|rotation| json_text(&rotation.schedule)),
        new.rotation.map(|rotation| rotation.next_at.to_datetime()),
        new.created_by.as_deref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many endpoints a tenant has.
pub async fn count(conn: &mut PgConnection, tenant: &TenantId) -> Result<i64, Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM endpoints WHERE tenant_id = $1"#, tenant.as_str())
        .fetch_one(conn)
        .await
}

/// Looks an endpoint up.
pub async fn get(conn: &mut PgConnection, tenant: &TenantId, id: &EndpointId) -> Result<Option<EndpointRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, name, description, url_sealed, url_origin, enabled, enabled_version,
               disabled_reason, disabled_at, disabled_note, timeout_ms, retry AS "retry: Json<RetryPolicy>",
               settings AS "settings: Json<EndpointSettings>", metadata AS "metadata: Json<BTreeMap<String, String>>",
               verification, verified_at, rotation AS "rotation: Json<RotationSchedule>", rotates_at, version,
               created_by, created_at, updated_at
           FROM endpoints WHERE tenant_id = $1 AND id = $2"#,
        tenant.as_str(),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Looks an endpoint up and keeps others from changing it, or adding to what it owns, until the transaction ends.
pub async fn get_for_update(
    conn: &mut PgConnection,
    tenant: &TenantId,
    id: &EndpointId,
) -> Result<Option<EndpointRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, name, description, url_sealed, url_origin, enabled, enabled_version,
               disabled_reason, disabled_at, disabled_note, timeout_ms, retry AS "retry: Json<RetryPolicy>",
               settings AS "settings: Json<EndpointSettings>", metadata AS "metadata: Json<BTreeMap<String, String>>",
               verification, verified_at, rotation AS "rotation: Json<RotationSchedule>", rotates_at, version,
               created_by, created_at, updated_at
           FROM endpoints WHERE tenant_id = $1 AND id = $2 FOR UPDATE"#,
        tenant.as_str(),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Up to `limit` of a tenant's endpoints after the one given, oldest first.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    after: Option<&EndpointId>,
    limit: i64,
) -> Result<Vec<EndpointRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, name, description, url_sealed, url_origin, enabled, enabled_version,
               disabled_reason, disabled_at, disabled_note, timeout_ms, retry AS "retry: Json<RetryPolicy>",
               settings AS "settings: Json<EndpointSettings>", metadata AS "metadata: Json<BTreeMap<String, String>>",
               verification, verified_at, rotation AS "rotation: Json<RotationSchedule>", rotates_at, version,
               created_by, created_at, updated_at
           FROM endpoints WHERE tenant_id = $1 AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        tenant.as_str(),
        after.map(EndpointId::as_str),
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Writes every changeable column of an endpoint, version included.
pub async fn update(conn: &mut PgConnection, tenant: &TenantId, changed: &EndpointRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE endpoints SET name = $3, description = $4, url_sealed = $5, url_origin = $6, enabled = $7,
             enabled_version = $8, timeout_ms = $9, retry = $10, settings = $11::text::json, version = $12,
             updated_at = $13, disabled_reason = $14, disabled_at = $15, disabled_note = $16,
             metadata = $17::text::json, verification = $18, verified_at = $19, rotation = $20::text::json,
             rotates_at = $21
         WHERE tenant_id = $1 AND id = $2",
        tenant.as_str(),
        changed.id.as_str(),
        changed.name,
        changed.description,
        changed.url.as_bytes(),
        changed.origin,
        changed.enabled,
        changed.enabled_version,
        timeout_column(changed.timeout_ms),
        Json(&changed.retry) as _,
        json_text(&changed.settings),
        changed.version,
        changed.updated_at.to_datetime(),
        changed.disabled.as_ref().map(|disabled| disabled.reason.as_str()),
        changed.disabled.as_ref().map(|disabled| disabled.at.to_datetime()),
        changed.disabled.as_ref().and_then(|disabled| disabled.note.as_deref()),
        json_text(&changed.metadata),
        changed.verification.map(Verification::as_str),
        changed.verified_at.map(Timestamp::to_datetime),
        changed.rotation.map(|rotation| json_text(&rotation.schedule)),
        changed.rotation.map(|rotation| rotation.next_at.to_datetime()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes an endpoint without subscriptions, and its secrets with it.
pub async fn delete(conn: &mut PgConnection, tenant: &TenantId, id: &EndpointId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM endpoints WHERE tenant_id = $1 AND id = $2", tenant.as_str(), id.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes all endpoints of a tenant, which must have no subscriptions left; returns ids and versions.
pub async fn delete_all(conn: &mut PgConnection, tenant: &TenantId) -> Result<Vec<(EndpointId, i64)>, Error> {
    let records = sqlx::query!("DELETE FROM endpoints WHERE tenant_id = $1 RETURNING id, version", tenant.as_str())
        .fetch_all(conn)
        .await?;
    Ok(records.into_iter().map(|record| (EndpointId::from_trusted(record.id), record.version)).collect())
}

/// Up to `limit` endpoints, of whichever tenant, whose secret is to change by `now`: the longest due first.
pub async fn due_for_rotation(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(TenantId, EndpointId)>, Error> {
    let records = sqlx::query!(
        "SELECT tenant_id, id FROM endpoints WHERE rotates_at <= $1 ORDER BY rotates_at LIMIT $2",
        now.to_datetime(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let ids = records.into_iter();
    Ok(ids.map(|record| (TenantId::from_trusted(record.tenant_id), EndpointId::from_trusted(record.id))).collect())
}

fn timeout_column(timeout_ms: u32) -> i32 {
    i32::try_from(timeout_ms).expect("an endpoint's time-out is at most 60,000 ms")
}
