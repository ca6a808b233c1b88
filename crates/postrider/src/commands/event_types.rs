//! `postrider event-types`: the catalogue in the database.

use std::{io::Read as _, path::Path};

use anyhow::{Context, anyhow};
use postrider_control::{
    audit::Actor,
    clock,
    manage::event_types::{self, CatalogueEdit, ChangedType, EventTypePatch, Imported},
};
use postrider_domain::event_type::{Catalogue, ShippedCatalogue};
use postrider_postgres::{
    Database,
    event_types::{EventTypeFilter, EventTypeRow},
};

use super::server::print;
use crate::{
    cli::{EventTypes, ImportArguments, SetArguments},
    config::Loaded,
    connections,
    failure::Failure,
};

const NEEDED_BY: &str = "`postrider event-types`";

/// Runs one of the commands below `event-types`.
pub async fn run(command: &EventTypes, loaded: &Loaded) -> Result<(), Failure> {
    match command {
        EventTypes::Import(arguments) => {
            // A document that is no good needs no database to say so.
            let catalogue = document(arguments)?;
            import(&connections::postgres(loaded, NEEDED_BY).await?, catalogue, arguments.dry_run).await?;
        }
        EventTypes::Set(arguments) => {
            let pool = connections::postgres(loaded, NEEDED_BY).await?;
            set(&pool, arguments).await?;
        }
        EventTypes::Delete { name } => {
            let pool = connections::postgres(loaded, NEEDED_BY).await?;
            let actor = Actor::cli();
            event_types::delete(edit(&pool, &actor), name).await.with_context(|| cant(name, "deleted"))?;
            println!("deleted    {name}");
        }
        EventTypes::List(selection) => {
            list(&connections::postgres(loaded, NEEDED_BY).await?, selection.group.as_deref()).await?;
        }
        EventTypes::Export(selection) => {
            export(&connections::postgres(loaded, NEEDED_BY).await?, selection.group.as_deref()).await?;
        }
    }
    Ok(())
}

fn document(arguments: &ImportArguments) -> anyhow::Result<Catalogue> {
    if let Some(name) = &arguments.catalogue {
        let shipped = ShippedCatalogue::named(name).ok_or_else(|| anyhow!("there is no catalogue '{name}'"))?;
        return shipped.read().with_context(|| format!("the catalogue '{name}' can't be used"));
    }
    let file = arguments.file.as_deref().unwrap_or(Path::new("-"));
    let text = read(file).with_context(|| format!("can't read {}", file.display()))?;
    Catalogue::read(&text).with_context(|| format!("{} can't be imported", file.display()))
}

fn read(file: &Path) -> std::io::Result<String> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Imports, and prints a line for each event type and one for all.
async fn import(pool: &Database, catalogue: Catalogue, dry_run: bool) -> anyhow::Result<()> {
    let actor = Actor::cli();
    let imported = event_types::import(edit(pool, &actor), catalogue, dry_run, &mut clock::rng()).await;
    let Imported { created, changed, unchanged } = imported.context("the catalogue can't be imported")?;
    for name in &created {
        println!("created    {name}");
    }
    for ChangedType { name, fields } in &changed {
        println!("changed    {name}: {}", fields.join(", "));
    }
    for name in &unchanged {
        println!("unchanged  {name}");
    }
    let counts = format!("{} created, {} changed, {} unchanged", created.len(), changed.len(), unchanged.len());
    if dry_run {
        println!("{counts}: nothing was done, as --dry-run says");
    } else {
        println!("{counts}");
    }
    Ok(())
}

async fn set(pool: &Database, arguments: &SetArguments) -> anyhow::Result<()> {
    let SetArguments { name, validation, archived } = arguments;
    let patch = EventTypePatch { validation: *validation, archived: *archived, ..EventTypePatch::default() };
    let actor = Actor::cli();
    let row = event_types::update(edit(pool, &actor), name, patch).await.with_context(|| cant(name, "changed"))?;
    println!("{}  {}", row.name, standing(&row));
    Ok(())
}

fn edit<'a>(pool: &'a Database, actor: &'a Actor) -> CatalogueEdit<'a> {
    CatalogueEdit { pool, actor, now: clock::now() }
}

fn cant(name: &str, done: &str) -> String {
    format!("the event type '{name}' can't be {done}")
}

/// What follows when data does not fit, the group, and whether it is archived.
fn standing(row: &EventTypeRow) -> String {
    let validation = if row.schema.is_some() { row.validation.as_str() } else { "no schema" };
    let archived = if row.archived { "  archived" } else { "" };
    format!("{validation:<9}  {}{archived}", row.group)
}

async fn list(pool: &Database, group: Option<&str>) -> anyhow::Result<()> {
    let mut connection = pool.acquire().await?;
    let filter = EventTypeFilter { group, archived: None };
    let rows = event_types::all(&mut connection, &filter).await.context("the event types can't be read")?;
    let widest = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    for row in rows {
        print::line(format_args!("{:<widest$}  {}", row.name, standing(&row)));
    }
    Ok(())
}

async fn export(pool: &Database, group: Option<&str>) -> anyhow::Result<()> {
    let mut connection = pool.acquire().await?;
    let filter = EventTypeFilter { group, archived: None };
    let catalogue = event_types::export(&mut connection, &filter).await.context("the event types can't be read")?;
    print::line(catalogue.to_json());
    Ok(())
}
