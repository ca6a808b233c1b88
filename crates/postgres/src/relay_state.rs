//! What the relay keeps: its lock, its position and what it has published (tables `relay_state` and
//! `directory_entities`).
//!
//! All of it belongs on the one connection that holds the lock, so that a relay that lost the lock can't
//! write either.

use chrono::{DateTime, Utc};
use postrider_domain::{DirectoryVersion, EntityId};
use sqlx::{Error, PgConnection};

use crate::outbox;

/// The key of the advisory lock that the one working relay of a database holds ("postride" in ASCII).
const RELAY_LOCK: i64 = 0x706f_7374_7269_6465;

/// The relay's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayState {
    /// The last version whose publication was recorded.
    pub version: DirectoryVersion,
    /// The last seq that may have been used in the topic.
    pub reserved_seq: i64,
    /// How many live entities the directory has at `version`.
    pub live: i64,
}

/// An entity as it was published last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEntity {
    /// Its id: the record's key.
    pub entity: EntityId,
    /// The version published last.
    pub entity_version: i64,
    /// Since when it is deleted; none while it lives.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Takes the relay's lock for the rest of this connection's life, if nobody else has it.
pub async fn try_lock(conn: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "locked!""#, RELAY_LOCK).fetch_one(conn).await
}

/// The relay's position.
pub async fn get(conn: &mut PgConnection) -> Result<RelayState, Error> {
    let row = sqlx::query!("SELECT epoch, seq, reserved_seq, live FROM relay_state").fetch_one(conn).await?;
    Ok(RelayState {
        version: DirectoryVersion { epoch: row.epoch, seq: row.seq },
        reserved_seq: row.reserved_seq,
        live: row.live,
    })
}

/// Notes that a relay works on this database, or that it found the topic ahead of it.
pub async fn note(conn: &mut PgConnection, behind: bool) -> Result<(), Error> {
    sqlx::query!("UPDATE relay_state SET behind = $1, worked_at = CASE WHEN $1 THEN worked_at ELSE now() END", behind)
        .execute(conn)
        .await?;
    Ok(())
}

/// Records that everything up to `seq` may be used in the topic from now on.
pub async fn reserve(conn: &mut PgConnection, seq: i64) -> Result<(), Error> {
    sqlx::query!("UPDATE relay_state SET reserved_seq = greatest(reserved_seq, $1)", seq).execute(conn).await?;
    Ok(())
}

/// Which of `entities` were published, and at which version.
pub async fn published(conn: &mut PgConnection, entities: &[EntityId]) -> Result<Vec<PublishedEntity>, Error> {
    let rows = sqlx::query!(
        "SELECT entity_id, entity_version, deleted_at FROM directory_entities WHERE entity_id = ANY($1)",
        &texts(entities)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| PublishedEntity {
            entity: EntityId::from_trusted(row.entity_id),
            entity_version: row.entity_version,
            deleted_at: row.deleted_at,
        })
        .collect())
}

/// Records a published batch: the directory's new version and number of live entities, what was published,
/// and which changes are done with. To be called in a transaction.
pub async fn record_batch(
    conn: &mut PgConnection,
    version: DirectoryVersion,
    live: i64,
    entities: &[PublishedEntity],
    outbox_ids: &[i64],
) -> Result<(), Error> {
    let ids: Vec<String> = entities.iter().map(|entity| entity.entity.to_string()).collect();
    let versions: Vec<i64> = entities.iter().map(|entity| entity.entity_version).collect();
    let deleted: Vec<Option<DateTime<Utc>>> = entities.iter().map(|entity| entity.deleted_at).collect();
    sqlx::query!(
        "INSERT INTO directory_entities (entity_id, entity_version, deleted_at)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[])
         ON CONFLICT (entity_id) DO UPDATE
         SET entity_version = excluded.entity_version, deleted_at = excluded.deleted_at",
        &ids,
        &versions,
        &deleted as &[Option<DateTime<Utc>>]
    )
    .execute(&mut *conn)
    .await?;
    outbox::delete(conn, outbox_ids).await?;
    sqlx::query!(
        "UPDATE relay_state SET epoch = $1, seq = $2, reserved_seq = greatest(reserved_seq, $2), live = $3",
        version.epoch,
        version.seq,
        live
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Entities that were deleted before `before`, oldest first, at most `limit`.
pub async fn deleted_before(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<EntityId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT entity_id FROM directory_entities WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2",
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(EntityId::from_trusted).collect())
}

/// Forgets deleted entities whose record has become a tombstone.
pub async fn forget(conn: &mut PgConnection, entities: &[EntityId]) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM directory_entities WHERE entity_id = ANY($1) AND deleted_at IS NOT NULL",
        &texts(entities)
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn texts(entities: &[EntityId]) -> Vec<String> {
    entities.iter().map(ToString::to_string).collect()
}
