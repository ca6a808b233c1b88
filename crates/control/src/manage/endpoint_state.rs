//! Whether an endpoint is sent to: pausing, disabling and verifying it, and the history of that.

use postrider_domain::{EndpointId, RateLimit, TenantId, Timestamp, seal::Sealed};
use postrider_postgres::{
    Error, PgConnection,
    endpoint_history::{self, HistoryChange, HistoryRow},
    endpoints::{Disabled, DisabledReason, EndpointRow},
};

use super::{
    Edit, ManageError,
    endpoints::{Known, change},
};
use crate::audit::Actor;

/// What becomes of what was held for an endpoint that is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is delivered.
    Delivered,
    /// What was matched before this, in broker time, is skipped; the rest is delivered.
    SkippedBefore(Timestamp),
}

/// Pauses an endpoint: what comes for it is held until it is resumed.
pub async fn pause(edit: Edit<'_>, tenant: &TenantId, id: &EndpointId) -> Result<Known, ManageError> {
    change(edit, tenant, id, ("endpoint.pause", None), |mut row| {
        row.settings.paused = true;
        Ok(row)
    })
    .await
}

/// Resumes an endpoint, and clears an automatic disable that the data plane knows of.
pub async fn resume(edit: Edit<'_>, tenant: &TenantId, id: &EndpointId, held: Held) -> Result<Known, ManageError> {
    change(edit, tenant, id, ("endpoint.resume", None), |row| Ok(resumed(row, held))).await
}

/// Disables an endpoint: what comes for it is held until it is enabled.
pub async fn disable(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    note: Option<String>,
) -> Result<Known, ManageError> {
    change(edit, tenant, id, ("endpoint.disable", None), |mut row| {
        set_enabled(&mut row, false, note, edit.now);
        Ok(row)
    })
    .await
}

/// Enables an endpoint, and clears an automatic disable that the data plane knows of. One that has yet to be verified
/// is enabled once it is.
pub async fn enable(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    note: Option<&str>,
) -> Result<Known, ManageError> {
    change(edit, tenant, id, ("endpoint.enable", note), |mut row| {
        if !row.enabled {
            start_afresh(&mut row);
        }
        set_enabled(&mut row, true, None, edit.now);
        Ok(row)
    })
    .await
}

/// Notes that the endpoint at `url` has shown that it wants events, `allowed` of them if it said how many. An endpoint
/// that waited for that is enabled.
pub async fn verified(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    url: &Sealed,
    allowed: Option<RateLimit>,
) -> Result<Known, ManageError> {
    change(edit, tenant, id, ("endpoint.verify", Some("it was verified")), |mut row| {
        if row.url != *url {
            return Err(ManageError::Conflict("the URL was changed while it was verified: verify the new one".into()));
        }
        row.verified_at = Some(edit.now);
        row.settings.rate_limit = row.settings.rate_limit.or(allowed);
        if row.disabled.as_ref().is_some_and(|disabled| disabled.reason == DisabledReason::Unverified) {
            row.enabled_version += 1;
            set_enabled(&mut row, true, None, edit.now);
        }
        Ok(row)
    })
    .await
}

/// Enables the endpoint, as far as its verification allows, or disables it. What is disabled for that reason already
/// stays so since when it is, with what was said to it unless there is something new to say.
pub(crate) fn set_enabled(row: &mut EndpointRow, enabled: bool, note: Option<String>, now: Timestamp) {
    let awaits_verification = row.verification.is_some() && row.verified_at.is_none();
    let reason = match (enabled, awaits_verification) {
        (true, false) => None,
        (true, true) => Some(DisabledReason::Unverified),
        (false, _) => Some(DisabledReason::Manual),
    };
    let before = row.disabled.take().filter(|before| Some(before.reason) == reason);
    let (since, said) = before.map_or((now, None), |before| (before.at, before.note));
    row.disabled = reason.map(|reason| Disabled { reason, at: since, note: note.or(said) });
    row.enabled = row.disabled.is_none();
}

/// Ends what the data plane knows against an endpoint, and its disable with it.
pub(super) fn start_afresh(row: &mut EndpointRow) {
    row.enabled_version += 1;
    if row.disabled.as_ref().is_some_and(|disabled| disabled.reason.is_automatic()) {
        row.disabled = None;
        row.enabled = true;
    }
}

/// The row after it was resumed. What was once skipped stays skipped.
fn resumed(mut row: EndpointRow, held: Held) -> EndpointRow {
    row.settings.paused = false;
    if let Held::SkippedBefore(before) = held {
        row.settings.skip_before = row.settings.skip_before.max(Some(before));
    }
    start_afresh(&mut row);
    row
}

/// Writes down what changed in whether the endpoint is sent to. `note` is what was said to its being enabled.
pub(crate) async fn remember(
    conn: &mut PgConnection,
    actor: &Actor,
    before: Option<&EndpointRow>,
    after: &EndpointRow,
    note: Option<&str>,
) -> Result<(), Error> {
    for (change, reason, note) in changes(before, after, note) {
        let row = HistoryRow { id: 0, at: after.updated_at, change, reason, note, actor: actor.id.clone() };
        endpoint_history::insert(conn, &after.tenant, &after.id, &row).await?;
    }
    Ok(())
}

type Remembered = (HistoryChange, Option<DisabledReason>, Option<String>);

/// What changed. An endpoint that is made is neither disabled nor paused before.
fn changes(before: Option<&EndpointRow>, after: &EndpointRow, note: Option<&str>) -> Vec<Remembered> {
    let disabled = |row: &EndpointRow| row.disabled.as_ref().map(|it| (it.reason, it.note.clone()));
    let was_disabled = before.and_then(disabled);
    let was_paused = before.is_some_and(|row| row.settings.paused);
    let mut changes = Vec::new();
    match disabled(after) {
        Some(now) if Some(&now) != was_disabled.as_ref() => changes.push((HistoryChange::Disabled, Some(now.0), now.1)),
        None if was_disabled.is_some() => changes.push((HistoryChange::Enabled, None, note.map(str::to_owned))),
        _ => {}
    }
    match (was_paused, after.settings.paused) {
        (false, true) => changes.push((HistoryChange::Paused, None, None)),
        (true, false) => changes.push((HistoryChange::Resumed, None, None)),
        _ => {}
    }
    changes
}
