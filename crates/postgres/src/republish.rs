//! What publishing the whole directory under a new epoch does to the relay's tables.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use postrider_domain::EntityId;
use sqlx::{Error, PgConnection};

use crate::outbox::{self, OutboxRow};

/// Keeps everybody else from changing what the directory is made of, until the transaction ends.
pub async fn lock(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "LOCK TABLE tenants, endpoints, endpoint_secrets, subscriptions, event_types, api_keys, outbox
         IN SHARE ROW EXCLUSIVE MODE"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// When a relay last worked on this database, to the hour.
pub async fn last_worked(conn: &mut PgConnection) -> Result<DateTime<Utc>, Error> {
    sqlx::query_scalar!("SELECT worked_at FROM relay_state").fetch_one(conn).await
}

/// The entities that live in the directory as far as this database knows.
pub async fn published_live(conn: &mut PgConnection) -> Result<HashSet<EntityId>, Error> {
    let ids = sqlx::query_scalar!("SELECT entity_id FROM directory_entities WHERE deleted_at IS NULL");
    Ok(ids.fetch_all(conn).await?.into_iter().map(EntityId::from_trusted).collect())
}

/// Forgets what was published, and takes out what was to be: everything is about to be published anew.
pub async fn take_unpublished(conn: &mut PgConnection) -> Result<Vec<OutboxRow>, Error> {
    sqlx::query!("DELETE FROM directory_entities").execute(&mut *conn).await?;
    let rows = outbox::first(conn, i64::MAX).await?;
    outbox::delete(conn, &rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
    Ok(rows)
}

/// Counts entities as live in the directory, each at the version before the one given: that one is an edit then, and
/// needs no marker.
pub async fn expect(conn: &mut PgConnection, entities: &[(EntityId, i64)]) -> Result<(), Error> {
    let ids: Vec<String> = entities.iter().map(|(id, _)| id.to_string()).collect();
    let versions: Vec<i64> = entities.iter().map(|(_, version)| version - 1).collect();
    sqlx::query!(
        "INSERT INTO directory_entities (entity_id, entity_version) SELECT * FROM unnest($1::text[], $2::bigint[])",
        &ids,
        &versions,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Begins an epoch, in which nothing is published yet and which is to have as many live entities as are expected.
pub async fn begin_epoch(conn: &mut PgConnection, epoch: i64) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE relay_state
         SET epoch = $1, seq = 0, reserved_seq = 0, behind = false, worked_at = now(),
             live = (SELECT count(*) FROM directory_entities WHERE deleted_at IS NULL)",
        epoch,
    )
    .execute(conn)
    .await?;
    Ok(())
}
