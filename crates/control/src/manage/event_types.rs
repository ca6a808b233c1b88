//! Changes of the catalogue of event types. Nothing of it is secret, and none of it is a tenant's.

use std::collections::HashMap;

use postrider_domain::{
    ConfigBody, EntityKind, EventType, EventTypeId, Timestamp,
    config_entry::Deleted,
    event_type::{Catalogue, EventTypeSpec, InvalidSpec, ValidationMode},
    json_text::JsonText,
};
use postrider_postgres::{
    Database, Error, PgConnection,
    event_types::{self, EventTypeFilter, EventTypeRow},
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::ManageError;
use crate::audit::{Actor, Change, publish};

/// The most event types of a deployment: every process of the data plane has them in memory.
pub const MAX_EVENT_TYPES: usize = 2_000;

/// Who changes the catalogue, where and when.
#[derive(Debug, Clone, Copy)]
pub struct CatalogueEdit<'a> {
    /// The database.
    pub pool: &'a Database,
    /// Who acts.
    pub actor: &'a Actor,
    /// When.
    pub now: Timestamp,
}

/// What of an event type is to be changed.
#[derive(Debug, Default)]
pub struct EventTypePatch {
    /// Under which heading it is listed.
    pub group: Option<String>,
    /// What it means.
    pub description: Option<String>,
    /// The JSON Schema of its events' data; `Some(None)` removes it.
    pub schema: Option<Option<JsonText>>,
    /// An example of their data; `Some(None)` removes it.
    pub sample: Option<Option<JsonText>>,
    /// What follows when data does not fit the schema.
    pub validation: Option<ValidationMode>,
    /// Whether it is of the past.
    pub archived: Option<bool>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// The names of the types that were not there, in the order of the document.
    pub created: Vec<String>,
    /// Those that were there and are different now.
    pub changed: Vec<ChangedType>,
    /// Of those that are as they were.
    pub unchanged: Vec<String>,
}

/// An event type that an import changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedType {
    /// Its name.
    pub name: String,
    /// What of it is different, by the names that documents have for it.
    pub fields: Vec<&'static str>,
}

/// Makes an event type.
pub async fn create(
    edit: CatalogueEdit<'_>,
    spec: EventTypeSpec,
    rng: &mut (impl CryptoRng + Send),
) -> Result<EventTypeRow, ManageError> {
    check(&spec)?;
    let mut tx = edit.pool.begin().await?;
    event_types::lock(&mut tx).await?;
    if event_types::get(&mut tx, &spec.name).await?.is_some_and(|row| row.name == spec.name) {
        let message = format!("there is an event type '{}' already: change it with PATCH", spec.name);
        return Err(ManageError::Value { field: "/name".to_owned(), message });
    }
    has_room(event_types::count(&mut tx).await?, 1, "/name")?;
    let row = insert(edit, &mut tx, spec, rng).await?;
    tx.commit().await?;
    Ok(row)
}

/// Changes what the patch names.
pub async fn update(
    edit: CatalogueEdit<'_>,
    id_or_name: &str,
    patch: EventTypePatch,
) -> Result<EventTypeRow, ManageError> {
    let mut tx = edit.pool.begin().await?;
    event_types::lock(&mut tx).await?;
    let before = event_types::get(&mut tx, id_or_name).await?.ok_or(ManageError::NotFound("event type"))?;
    let spec = EventTypeSpec {
        name: before.name.clone(),
        group: patch.group,
        description: patch.description.unwrap_or_else(|| before.description.clone()),
        validation: patch.validation,
        archived: patch.archived,
        schema: patch.schema.unwrap_or_else(|| before.schema.clone()),
        sample: patch.sample.unwrap_or_else(|| before.sample.clone()),
    };
    check(&spec)?;
    let row = change(edit, &mut tx, &before, spec).await?;
    tx.commit().await?;
    Ok(row)
}

/// Deletes an event type: its events are matched like any others, unseen.
pub async fn delete(edit: CatalogueEdit<'_>, id_or_name: &str) -> Result<(), ManageError> {
    let mut tx = edit.pool.begin().await?;
    event_types::lock(&mut tx).await?;
    let before = event_types::get(&mut tx, id_or_name).await?.ok_or(ManageError::NotFound("event type"))?;
    delete_known(&mut tx, edit.actor, edit.now, &before).await?;
    tx.commit().await?;
    Ok(())
}

/// The same of an event type that the transaction holds.
pub(crate) async fn delete_known(
    conn: &mut PgConnection,
    actor: &Actor,
    now: Timestamp,
    before: &EventTypeRow,
) -> Result<(), Error> {
    event_types::delete(conn, &before.id).await?;
    let change = Change {
        tenant: None,
        action: "event_type.delete",
        entity_id: before.id.as_str(),
        before: Some(audited(before)),
        after: None,
    };
    let deleted = Deleted { id: (&before.id).into(), entity: EntityKind::EventType, at: now };
    publish(conn, actor, now, before.version + 1, &ConfigBody::Deleted(deleted), change).await
}

/// Makes and changes the types of a catalogue, in one transaction; others stay as they are, and so do the group,
/// `validation` and `archived` that the catalogue does not give. A dry run changes nothing.
pub async fn import(
    edit: CatalogueEdit<'_>,
    catalogue: Catalogue,
    dry_run: bool,
    rng: &mut (impl CryptoRng + Send),
) -> Result<Imported, ManageError> {
    let mut tx = edit.pool.begin().await?;
    event_types::lock(&mut tx).await?;
    let known = all(&mut tx, &EventTypeFilter::default()).await?;
    let known: HashMap<String, EventTypeRow> = known.into_iter().map(|row| (row.name.clone(), row)).collect();
    let new = catalogue.event_types.iter().filter(|spec| !known.contains_key(&spec.name)).count();
    has_room(i64::try_from(known.len()).unwrap_or(i64::MAX), new, "/event_types")?;
    let mut imported = Imported::default();
    for spec in catalogue.event_types {
        let name = spec.name.clone();
        let Some(before) = known.get(&name) else {
            insert(edit, &mut tx, spec, rng).await?;
            imported.created.push(name);
            continue;
        };
        let fields = differences(before, &changed(before, spec.clone(), edit.now));
        if fields.is_empty() {
            imported.unchanged.push(name);
        } else {
            change(edit, &mut tx, before, spec).await?;
            imported.changed.push(ChangedType { name, fields });
        }
    }
    if !dry_run {
        tx.commit().await?;
    }
    Ok(imported)
}

/// The catalogue, in the order of names, as a document that can be imported.
pub async fn export(conn: &mut PgConnection, filter: &EventTypeFilter<'_>) -> Result<Catalogue, Error> {
    let rows = all(conn, filter).await?;
    let spec = |row: EventTypeRow| EventTypeSpec {
        name: row.name,
        group: Some(row.group),
        description: row.description,
        validation: Some(row.validation),
        archived: Some(row.archived),
        schema: row.schema,
        sample: row.sample,
    };
    Ok(Catalogue { event_types: rows.into_iter().map(spec).collect(), ..Catalogue::default() })
}

/// Every event type, in the order of names.
pub async fn all(conn: &mut PgConnection, filter: &EventTypeFilter<'_>) -> Result<Vec<EventTypeRow>, Error> {
    event_types::list(conn, filter, None, i64::MAX).await
}

fn check(spec: &EventTypeSpec) -> Result<(), ManageError> {
    spec.check().map_err(|InvalidSpec { at, why }| ManageError::Value { field: at, message: why })
}

fn has_room(present: i64, new: usize, field: &str) -> Result<(), ManageError> {
    if usize::try_from(present).unwrap_or(usize::MAX).saturating_add(new) <= MAX_EVENT_TYPES {
        return Ok(());
    }
    let message = format!("a deployment may have at most {MAX_EVENT_TYPES} event types; delete those that nobody uses");
    Err(ManageError::Value { field: field.to_owned(), message })
}

async fn insert(
    edit: CatalogueEdit<'_>,
    conn: &mut PgConnection,
    spec: EventTypeSpec,
    rng: &mut (impl CryptoRng + Send),
) -> Result<EventTypeRow, Error> {
    let row = EventTypeRow {
        id: EventTypeId::generate(edit.now, rng),
        group: spec.group().to_owned(),
        name: spec.name,
        description: spec.description,
        schema: spec.schema,
        sample: spec.sample,
        validation: spec.validation.unwrap_or_default(),
        archived: spec.archived.unwrap_or_default(),
        version: 1,
        created_at: edit.now,
        updated_at: edit.now,
    };
    event_types::insert(conn, &row).await?;
    let change = Change {
        tenant: None,
        action: "event_type.create",
        entity_id: row.id.as_str(),
        before: None,
        after: Some(audited(&row)),
    };
    publish(conn, edit.actor, edit.now, row.version, &entry(&row), change).await?;
    Ok(row)
}

async fn change(
    edit: CatalogueEdit<'_>,
    conn: &mut PgConnection,
    before: &EventTypeRow,
    spec: EventTypeSpec,
) -> Result<EventTypeRow, Error> {
    let row = EventTypeRow { version: before.version + 1, ..changed(before, spec, edit.now) };
    event_types::update(conn, &row).await?;
    let change = Change {
        tenant: None,
        action: "event_type.update",
        entity_id: row.id.as_str(),
        before: Some(audited(before)),
        after: Some(audited(&row)),
    };
    publish(conn, edit.actor, edit.now, row.version, &entry(&row), change).await?;
    Ok(row)
}

/// The row with everything that the spec says, at the same version.
fn changed(before: &EventTypeRow, spec: EventTypeSpec, updated_at: Timestamp) -> EventTypeRow {
    EventTypeRow {
        group: spec.group.unwrap_or_else(|| before.group.clone()),
        description: spec.description,
        schema: spec.schema,
        sample: spec.sample,
        validation: spec.validation.unwrap_or(before.validation),
        archived: spec.archived.unwrap_or(before.archived),
        updated_at,
        ..before.clone()
    }
}

/// What of a type differs, as documents name it.
fn differences(before: &EventTypeRow, after: &EventTypeRow) -> Vec<&'static str> {
    let fields = [
        ("group", before.group != after.group),
        ("description", before.description != after.description),
        ("schema", before.schema != after.schema),
        ("sample", before.sample != after.sample),
        ("validation", before.validation != after.validation),
        ("archived", before.archived != after.archived),
    ];
    fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
}

pub(crate) fn entry(row: &EventTypeRow) -> ConfigBody {
    ConfigBody::EventType(Box::new(published(row)))
}

/// What the data plane knows of a type.
pub(crate) fn published(row: &EventTypeRow) -> EventType {
    EventType {
        id: row.id.clone(),
        name: row.name.clone(),
        group: row.group.clone(),
        description: row.description.clone(),
        schema: row.schema.clone(),
        validation: row.validation,
        archived: row.archived,
    }
}

pub(crate) fn audited(row: &EventTypeRow) -> Value {
    json!({
        "name": row.name,
        "group": row.group,
        "description": row.description,
        "schema": row.schema,
        "sample": row.sample,
        "validation": row.validation,
        "archived": row.archived,
        "version": row.version,
    })
}
