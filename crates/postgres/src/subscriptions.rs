//! Table `subscriptions`.

use postrider_domain::{
    EndpointId, SubscriptionId, TenantId, Timestamp, filter::Filter, mapping::Mapping, pattern::TypePattern,
};
use sqlx::{Error, PgConnection, types::Json};

use crate::{json_text, undecodable};

/// A subscription's row.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionRow {
    /// Its id.
    pub id: SubscriptionId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// The endpoint that it belongs to.
    pub endpoint: EndpointId,
    /// The event types that it wants.
    pub event_types: Vec<TypePattern>,
    /// What must hold besides.
    pub filter: Option<Filter>,
    /// What is sent instead of the endpoint's usual request.
    pub mapping: Option<Mapping>,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A record of `SELECT *`.
struct Record {
    id: String,
    tenant_id: String,
    endpoint_id: String,
    event_types: Vec<String>,
    filter: Option<Json<Filter>>,
    mapping: Option<Json<Mapping>>,
    version: i64,
    created_at: chrono::DateTime<chrono::Utc>,
    updated_at: chrono::DateTime<chrono::Utc>,
}

impl TryFrom<Record> for SubscriptionRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        Ok(Self {
            id: SubscriptionId::from_trusted(record.id),
            tenant: TenantId::from_trusted(record.tenant_id),
            endpoint: EndpointId::from_trusted(record.endpoint_id),
            event_types: record
                .event_types
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()
                .map_err(|error| undecodable("event_types", error))?,
            filter: record.filter.map(|json| json.0),
            mapping: record.mapping.map(|json| json.0),
            version: record.version,
            created_at: Timestamp::from_datetime(record.created_at),
            updated_at: Timestamp::from_datetime(record.updated_at),
        })
    }
}

/// Adds a subscription as it is given.
pub async fn insert(conn: &mut PgConnection, tenant: &TenantId, new: &SubscriptionRow) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO subscriptions (id, tenant_id, endpoint_id, event_types, filter, mapping, version, created_at,
             updated_at)
         VALUES ($1, $2, $3, $4, $5::text::json, $6::text::json, $7, $8, $9)",
        new.id.as_str(),
        tenant.as_str(),
        new.endpoint.as_str(),
        &patterns_column(&new.event_types),
        new.filter.as_ref().map(json_text),
        new.mapping.as_ref().map(json_text),
        new.version,
        new.created_at.to_datetime(),
        new.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Looks a subscription up.
pub async fn get(
    conn: &mut PgConnection,
    tenant: &TenantId,
    id: &SubscriptionId,
) -> Result<Option<SubscriptionRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, endpoint_id, event_types, filter AS "filter: Json<Filter>",
               mapping AS "mapping: Json<Mapping>", version, created_at, updated_at
           FROM subscriptions WHERE tenant_id = $1 AND id = $2"#,
        tenant.as_str(),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Looks a subscription up and keeps others from changing it until the transaction ends.
pub async fn get_for_update(
    conn: &mut PgConnection,
    tenant: &TenantId,
    id: &SubscriptionId,
) -> Result<Option<SubscriptionRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, endpoint_id, event_types, filter AS "filter: Json<Filter>",
               mapping AS "mapping: Json<Mapping>", version, created_at, updated_at
           FROM subscriptions WHERE tenant_id = $1 AND id = $2 FOR UPDATE"#,
        tenant.as_str(),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Up to `limit` of a tenant's subscriptions after the one given, oldest first; of one endpoint if it is named.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: Option<&EndpointId>,
    after: Option<&SubscriptionId>,
    limit: i64,
) -> Result<Vec<SubscriptionRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, endpoint_id, event_types, filter AS "filter: Json<Filter>",
               mapping AS "mapping: Json<Mapping>", version, created_at, updated_at
           FROM subscriptions
           WHERE tenant_id = $1 AND ($2::text IS NULL OR endpoint_id = $2) AND ($3::text IS NULL OR id > $3)
           ORDER BY id LIMIT $4"#,
        tenant.as_str(),
        endpoint.map(EndpointId::as_str),
        after.map(SubscriptionId::as_str),
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// How many subscriptions an endpoint has.
pub async fn count(conn: &mut PgConnection, tenant: &TenantId, endpoint: &EndpointId) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM subscriptions WHERE tenant_id = $1 AND endpoint_id = $2"#,
        tenant.as_str(),
        endpoint.as_str(),
    )
    .fetch_one(conn)
    .await
}

/// Writes every changeable column of a subscription, version included.
pub async fn update(conn: &mut PgConnection, tenant: &TenantId, changed: &SubscriptionRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE subscriptions SET event_types = $3, filter = $4::text::json, mapping = $5::text::json, version = $6,
             updated_at = $7
         WHERE tenant_id = $1 AND id = $2",
        tenant.as_str(),
        changed.id.as_str(),
        &patterns_column(&changed.event_types),
        changed.filter.as_ref().map(json_text),
        changed.mapping.as_ref().map(json_text),
        changed.version,
        changed.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes a subscription.
pub async fn delete(conn: &mut PgConnection, tenant: &TenantId, id: &SubscriptionId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM subscriptions WHERE tenant_id = $1 AND id = $2", tenant.as_str(), id.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes all subscriptions of a tenant, or of one of its endpoints; returns ids and versions.
pub async fn delete_all(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: Option<&EndpointId>,
) -> Result<Vec<(SubscriptionId, i64)>, Error> {
    let records = sqlx::query!(
        "DELETE FROM subscriptions WHERE tenant_id = $1 AND ($2::text IS NULL OR endpoint_id = $2)
         RETURNING id, version",
        tenant.as_str(),
        endpoint.map(EndpointId::as_str),
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(|record| (SubscriptionId::from_trusted(record.id), record.version)).collect())
}

fn patterns_column(patterns: &[TypePattern]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}
