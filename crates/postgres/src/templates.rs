//! Table `templates`: those that tenants saved.

use postrider_domain::{TemplateId, TenantId, Timestamp, template::Document};
use sqlx::{Error, PgConnection, types::Json};

use crate::json_text;

/// A template's row.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateRow {
    /// Its id.
    pub id: TemplateId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// What was saved.
    pub document: Document,
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
    document: Json<Document>,
    version: i64,
    created_at: chrono::DateTime<chrono::Utc>,
    updated_at: chrono::DateTime<chrono::Utc>,
}

impl From<Record> for TemplateRow {
    fn from(record: Record) -> Self {
        Self {
            id: TemplateId::from_trusted(record.id),
            tenant: TenantId::from_trusted(record.tenant_id),
            document: record.document.0,
            version: record.version,
            created_at: Timestamp::from_datetime(record.created_at),
            updated_at: Timestamp::from_datetime(record.updated_at),
        }
    }
}

/// Adds a template as it is given.
pub async fn insert(conn: &mut PgConnection, tenant: &TenantId, new: &TemplateRow) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO templates (id, tenant_id, document, version, created_at, updated_at)
         VALUES ($1, $2, $3::text::json, $4, $5, $6)",
        new.id.as_str(),
        tenant.as_str(),
        json_text(&new.document),
        new.version,
        new.created_at.to_datetime(),
        new.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Looks a template up.
pub async fn get(conn: &mut PgConnection, tenant: &TenantId, id: &TemplateId) -> Result<Option<TemplateRow>, Error> {
    let record = sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, document AS "document: Json<Document>", version, created_at, updated_at
           FROM templates WHERE tenant_id = $1 AND id = $2"#,
        tenant.as_str(),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(record.map(Into::into))
}

/// Looks a template up and keeps others from changing it until the transaction ends.
pub async fn get_for_update(
    conn: &mut PgConnection,
    tenant: &TenantId,
    id: &TemplateId,
) -> Result<Option<TemplateRow>, Error> {
    let record = sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, document AS "document: Json<Document>", version, created_at, updated_at
           FROM templates WHERE tenant_id = $1 AND id = $2 FOR UPDATE"#,
        tenant.as_str(),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(record.map(Into::into))
}

/// Up to `limit` of a tenant's templates after the one given, oldest first.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    after: Option<&TemplateId>,
    limit: i64,
) -> Result<Vec<TemplateRow>, Error> {
    let records = sqlx::query_as!(
        Record,
        r#"SELECT id, tenant_id, document AS "document: Json<Document>", version, created_at, updated_at
           FROM templates WHERE tenant_id = $1 AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        tenant.as_str(),
        after.map(TemplateId::as_str),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(Into::into).collect())
}

/// How many templates a tenant has.
pub async fn count(conn: &mut PgConnection, tenant: &TenantId) -> Result<i64, Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM templates WHERE tenant_id = $1"#, tenant.as_str())
        .fetch_one(conn)
        .await
}

/// Writes every changeable column of a template, version included.
pub async fn update(conn: &mut PgConnection, tenant: &TenantId, changed: &TemplateRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE templates SET document = $3::text::json, version = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2",
        tenant.as_str(),
        changed.id.as_str(),
        json_text(&changed.document),
        changed.version,
        changed.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes a template.
pub async fn delete(conn: &mut PgConnection, tenant: &TenantId, id: &TemplateId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM templates WHERE tenant_id = $1 AND id = $2", tenant.as_str(), id.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
