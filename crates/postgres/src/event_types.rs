//! Table `event_types`: the catalogue, which belongs to no tenant.

use postrider_domain::{EventTypeId, Timestamp, event_type::ValidationMode, json_text::JsonText};
use sqlx::{Error, PgConnection, types::Json};

use crate::undecodable;

/// An event type's row.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTypeRow {
    /// Its id.
    pub id: EventTypeId,
    /// What events name.
    pub name: String,
    /// Under which heading it is listed.
    pub group: String,
    /// What it means.
    pub description: String,
    /// The JSON Schema of its events' data.
    pub schema: Option<JsonText>,
    /// The data of such an event, as an example.
    pub sample: Option<JsonText>,
    /// What follows when data does not fit the schema.
    pub validation: ValidationMode,
    /// Whether it is of the past.
    pub archived: bool,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Which event types are meant.
#[derive(Debug, Clone, Default)]
pub struct EventTypeFilter<'a> {
    /// Only those under this heading.
    pub group: Option<&'a str>,
    /// Only those that are archived, or only those that are not.
    pub archived: Option<bool>,
}

/// A record of `SELECT *`.
struct Record {
    id: String,
    name: String,
    group_name: String,
    description: String,
    schema: Option<Json<JsonText>>,
    sample: Option<Json<JsonText>>,
    validation: String,
    archived: bool,
    version: i64,
    created_at: chrono::DateTime<chrono::Utc>,
    updated_at: chrono::DateTime<chrono::Utc>,
}

impl TryFrom<Record> for EventTypeRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        Ok(Self {
            id: EventTypeId::from_trusted(record.id),
            name: record.name,
            group: record.group_name,
            description: record.description,
            schema: record.schema.map(|json| json.0),
            sample: record.sample.map(|json| json.0),
            validation: record.validation.parse().map_err(|error| undecodable("validation", error))?,
            archived: record.archived,
            version: record.version,
            created_at: Timestamp::from_datetime(record.created_at),
            updated_at: Timestamp::from_datetime(record.updated_at),
        })
    }
}

/// Keeps others from making, changing or deleting event types until the transaction ends; they can be read.
pub async fn lock(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("LOCK TABLE event_types IN SHARE ROW EXCLUSIVE MODE").execute(conn).await?;
    Ok(())
}

/// Adds an event type as it is given.
pub async fn insert(conn: &mut PgConnection, new: &EventTypeRow) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO event_types
             (id, name, group_name, description, schema, sample, validation, archived, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5::text::json, $6::text::json, $7, $8, $9, $10, $11)",
        new.id.as_str(),
        new.name,
        new.group,
        new.description,
        new.schema.as_ref().map(JsonText::as_str),
        new.sample.as_ref().map(JsonText::as_str),
        new.validation.as_str(),
        new.archived,
        new.version,
        new.created_at.to_datetime(),
        new.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Looks an event type up by its id or its name.
pub async fn get(conn: &mut PgConnection, id_or_name: &str) -> Result<Option<EventTypeRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, name, group_name, description, schema AS "schema: Json<JsonText>",
               sample AS "sample: Json<JsonText>", validation, archived, version, created_at, updated_at
           FROM event_types WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1"#,
        id_or_name,
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// The id and version of the event type of that name, if it has a schema and what does not fit it is rejected.
pub async fn rejecting(conn: &mut PgConnection, name: &str) -> Result<Option<(String, i64)>, Error> {
    let row = sqlx::query!(
        "SELECT id, version FROM event_types WHERE name = $1 AND validation = 'reject' AND schema IS NOT NULL",
        name,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id, row.version)))
}

/// Up to `limit` event types after the one of that name, in the order of their names.
pub async fn list(
    conn: &mut PgConnection,
    filter: &EventTypeFilter<'_>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<EventTypeRow>, Error> {
    sqlx::query_as!(
        Record,
        r#"SELECT id, name, group_name, description, schema AS "schema: Json<JsonText>",
               sample AS "sample: Json<JsonText>", validation, archived, version, created_at, updated_at
           FROM event_types
           WHERE ($1::text IS NULL OR group_name = $1) AND ($2::boolean IS NULL OR archived = $2)
               AND ($3::text IS NULL OR name > $3 COLLATE "C")
           ORDER BY name LIMIT $4"#,
        filter.group,
        filter.archived,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// How many event types there are.
pub async fn count(conn: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM event_types"#).fetch_one(conn).await
}

/// Writes every changeable column of an event type, version included.
pub async fn update(conn: &mut PgConnection, changed: &EventTypeRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE event_types
         SET group_name = $2, description = $3, schema = $4::text::json, sample = $5::text::json, validation = $6,
             archived = $7, version = $8, updated_at = $9
         WHERE id = $1",
        changed.id.as_str(),
        changed.group,
        changed.description,
        changed.schema.as_ref().map(JsonText::as_str),
        changed.sample.as_ref().map(JsonText::as_str),
        changed.validation.as_str(),
        changed.archived,
        changed.version,
        changed.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes an event type.
pub async fn delete(conn: &mut PgConnection, id: &EventTypeId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM event_types WHERE id = $1", id.as_str()).execute(conn).await?;
    Ok(())
}
