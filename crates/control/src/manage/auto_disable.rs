//! What the data plane disabled, written into the endpoint's row.
//!
//! The data plane has disabled the endpoint already, and goes by what it wrote itself: here the row follows, so that
//! whoever looks at it sees that, and why. So `enabled_version` stays: a newer one would clear the disable.

use postrider_domain::{EndpointId, TenantId, Timestamp, endpoint_state::AutoDisabled};
use postrider_postgres::{
    Error, PgConnection,
    endpoints::{self, Disabled, EndpointRow},
    secrets,
};

use super::{
    endpoint_state::remember,
    endpoints::{audited, entry},
};
use crate::audit::{Actor, Change, publish};

/// Disables the endpoint's row, unless it was enabled since, or is disabled or gone already.
pub(crate) async fn fold(
    conn: &mut PgConnection,
    tenant: &TenantId,
    id: &EndpointId,
    how: &AutoDisabled,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(before) = endpoints::get_for_update(conn, tenant, id).await? else { return Ok(()) };
    let Some(row) = disabled(&before, how, now) else { return Ok(()) };
    endpoints::update(conn, tenant, &row).await?;
    remember(conn, &Actor::postrider(), Some(&before), &row, None).await?;
    let secrets = secrets::list_current(conn, tenant, id, now).await?;
    let secrets = secrets.into_iter().map(|secret| secret.secret).collect();
    let change = Change {
        tenant: Some(tenant),
        action: "endpoint.disable",
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: Some(audited(&row)),
    };
    publish(conn, &Actor::postrider(), now, row.version, &entry(&row, secrets), change).await?;
    tracing::info!(endpoint = %id, reason = how.reason.as_str(), "the endpoint was disabled because it failed");
    Ok(())
}

/// The row after the disable; none if it does not concern it.
fn disabled(before: &EndpointRow, how: &AutoDisabled, now: Timestamp) -> Option<EndpointRow> {
    (before.enabled && how.enabled_version >= before.enabled_version).then(|| EndpointRow {
        enabled: false,
        disabled: Some(Disabled { reason: how.reason.into(), at: how.at, note: None }),
        version: before.version + 1,
        updated_at: now,
        ..before.clone()
    })
}
