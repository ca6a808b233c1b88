//! Keys that were revoked or rotated since the backup.

use std::collections::HashMap;

use postrider_domain::{ConfigBody, ConfigEntry, EntityId, EntityKind, Timestamp};
use postrider_postgres::{
    Error, PgConnection,
    api_keys::{self, ApiKeyRow},
};

use super::{Choice, Report};
use crate::{
    audit::{Change, record},
    manage::{
        Edit,
        api_keys::{audited, ended_prefix},
    },
};

/// Ends the texts of keys that ended since. The end of one that is brought back is forgotten in `entries`, too.
pub(super) async fn take_over(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    entries: &mut HashMap<EntityId, ConfigEntry>,
    choice: &Choice,
    report: &mut Report,
) -> Result<(), Error> {
    let ends: Vec<(String, Timestamp)> = entries.values().filter_map(ended).collect();
    for (prefix, at) in ends {
        if let Some(key) = api_keys::find_by_prefix(conn, &prefix).await?
            && choice.bring_back.contains(key.id.as_str())
        {
            entries.retain(|_, entry| ended(entry).is_none_or(|(ended, _)| ended != prefix));
            report.brought_back.push(key.id.to_string());
        } else if let Some(row) = api_keys::end_text(conn, &prefix, at, edit.now).await? {
            note(edit, conn, &row, report).await?;
        }
    }
    Ok(())
}

/// Revokes all keys.
pub(super) async fn revoke_all(edit: Edit<'_>, conn: &mut PgConnection, report: &mut Report) -> Result<(), Error> {
    report.all_revoked = true;
    for row in api_keys::revoke_all(conn, edit.now).await? {
        note(edit, conn, &row, report).await?;
    }
    Ok(())
}

/// The public part of a text that was ended, and when it ends.
fn ended(entry: &ConfigEntry) -> Option<(String, Timestamp)> {
    match &entry.body {
        ConfigBody::Deleted(deleted) if deleted.entity == EntityKind::ApiKey => {
            Some((ended_prefix(&deleted.id)?.to_owned(), deleted.at))
        }
        _ => None,
    }
}

async fn note(edit: Edit<'_>, conn: &mut PgConnection, row: &ApiKeyRow, report: &mut Report) -> Result<(), Error> {
    if row.revoked_at.is_some() {
        report.revoked.push(row.id.clone());
    }
    let change = Change {
        tenant: row.tenant.as_ref(),
        action: "api_key.revoke",
        entity_id: row.id.as_str(),
        before: None,
        after: Some(audited(row)),
    };
    record(conn, edit.actor, edit.now, change).await
}
