//! Table `outbox`: changes on their way to the directory.

use postrider_domain::{ConfigBody, EntityId};
use sqlx::{Error, PgConnection, types::Json};

use crate::json_text;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Its place in the order of publishing.
    pub id: i64,
    /// What was changed.
    pub entity: EntityId,
    /// The entity's version after the change.
    pub entity_version: i64,
    /// What the entity is now.
    pub body: ConfigBody,
}

/// Adds a change, in the transaction that makes it. Audit records that are added after it in the same transaction are
/// chained when it is published.
pub async fn push(conn: &mut PgConnection, entity_version: i64, body: &ConfigBody) -> Result<(), Error> {
    let entity = body.key();
    sqlx::query!(
        "INSERT INTO outbox (id, entity_id, entity_version, body)
         SELECT set_config('postrider.outbox_id', nextval('outbox_id_seq')::text, true)::bigint, $1, $2, $3::text::json",
        entity.as_str(),
        entity_version,
        json_text(body),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The first `limit` changes, in order.
pub async fn first(conn: &mut PgConnection, limit: i64) -> Result<Vec<OutboxRow>, Error> {
    let records = sqlx::query!(
        r#"SELECT id, entity_id, entity_version, body AS "body: Json<ConfigBody>" FROM outbox ORDER BY id LIMIT $1"#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(records
        .into_iter()
        .map(|record| OutboxRow {
            id: record.id,
            entity: EntityId::from_trusted(record.entity_id),
            entity_version: record.entity_version,
            body: record.body.0,
        })
        .collect())
}

/// Removes changes that have been published.
pub async fn delete(conn: &mut PgConnection, ids: &[i64]) -> Result<(), Error> {
    sqlx::query!("DELETE FROM outbox WHERE id = ANY($1)", ids).execute(conn).await?;
    Ok(())
}
