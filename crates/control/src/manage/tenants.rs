//! Changes of tenants.

use postrider_domain::{ConfigBody, EntityKind, TenantId, Timestamp, config_entry::Tenant};
use postrider_postgres::{
    Error, PgConnection, endpoint_activity, endpoints, subscriptions,
    tenants::{self, Quotas, Suspension, TenantRow},
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{Edit, ManageError};
use crate::audit::{Actor, Change, publish};

/// What of a tenant is to be changed.
#[derive(Debug, Default)]
pub struct TenantPatch {
    /// Its name.
    pub name: Option<String>,
    /// What it may have and do; each as [`Quotas`], `Some(None)` removes a limit.
    pub endpoints: Option<Option<i64>>,
    /// How many events it may publish over HTTP in a second.
    pub publish_per_second: Option<Option<i64>>,
    /// How many deliveries it may begin on a day.
    pub deliveries_per_day: Option<Option<i64>>,
}

/// Makes a tenant.
pub async fn create(
    edit: Edit<'_>,
    name: &str,
    quotas: Quotas,
    rng: &mut (impl CryptoRng + Send),
) -> Result<TenantRow, ManageError> {
    let id = TenantId::generate(edit.now, rng);
    let mut tx = edit.pool.begin().await?;
    let row = tenants::insert(&mut tx, &id, name, quotas, edit.now).await?;
    let change = Change {
        tenant: Some(&row.id),
        action: "tenant.create",
        entity_id: row.id.as_str(),
        before: None,
        after: Some(audited(&row)),
    };
    edit.publish(&mut tx, row.version, &entry(&row), change).await?;
    tx.commit().await?;
    Ok(row)
}

/// Changes what the patch names. Another quota of deliveries ends a hold for the former: whether the new one is used up
/// shows with the next delivery.
pub async fn update(edit: Edit<'_>, id: &TenantId, patch: TenantPatch) -> Result<TenantRow, ManageError> {
    change(edit, id, "tenant.update", |row| {
        row.name = patch.name.unwrap_or_else(|| row.name.clone());
        if patch.deliveries_per_day.is_some_and(|quota| quota != row.quotas.deliveries_per_day) {
            row.held_until = None;
        }
        row.quotas = Quotas {
            endpoints: patch.endpoints.unwrap_or(row.quotas.endpoints),
            publish_per_second: patch.publish_per_second.unwrap_or(row.quotas.publish_per_second),
            deliveries_per_day: patch.deliveries_per_day.unwrap_or(row.quotas.deliveries_per_day),
        };
    })
    .await
}

/// Suspends a tenant: its keys are refused, and what comes for its endpoints is held. One that is suspended stays so,
/// for the reason given last.
pub async fn suspend(edit: Edit<'_>, id: &TenantId, reason: String) -> Result<TenantRow, ManageError> {
    change(edit, id, "tenant.suspend", |row| {
        let at = row.suspended.as_ref().map_or(edit.now, |suspension| suspension.at);
        row.suspended = Some(Suspension { at, reason });
    })
    .await
}

/// Ends a suspension: what was held is delivered.
pub async fn resume(edit: Edit<'_>, id: &TenantId) -> Result<TenantRow, ManageError> {
    change(edit, id, "tenant.resume", |row| row.suspended = None).await
}

async fn change(
    edit: Edit<'_>,
    id: &TenantId,
    action: &'static str,
    change: impl FnOnce(&mut TenantRow),
) -> Result<TenantRow, ManageError> {
    let mut tx = edit.pool.begin().await?;
    let before = tenants::get_for_update(&mut tx, id).await?.ok_or(ManageError::NotFound("tenant"))?;
    let row = store(&mut tx, edit.actor, edit.now, &before, action, change).await?;
    tx.commit().await?;
    Ok(row)
}

/// Changes a tenant that this transaction has locked.
async fn store(
    conn: &mut PgConnection,
    actor: &Actor,
    now: Timestamp,
    before: &TenantRow,
    action: &'static str,
    change: impl FnOnce(&mut TenantRow),
) -> Result<TenantRow, Error> {
    let mut row = before.clone();
    change(&mut row);
    row.version += 1;
    row.updated_at = now;
    tenants::update(conn, &row).await?;
    let change = Change {
        tenant: Some(&row.id),
        action,
        entity_id: row.id.as_str(),
        before: Some(audited(before)),
        after: Some(audited(&row)),
    };
    publish(conn, actor, now, row.version, &entry(&row), change).await?;
    Ok(row)
}

/// Holds the deliveries of a tenant that is over its quota, in the transaction that found it so. Nothing if it is gone
/// or held as long already.
pub(crate) async fn hold_for_quota(
    conn: &mut PgConnection,
    id: &TenantId,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(before) = tenants::get_for_update(conn, id).await? else { return Ok(()) };
    if before.held_until.is_some_and(|held| held >= until) {
        return Ok(());
    }
    tracing::warn!(tenant = %id, %until, "the tenant is over its quota of deliveries: they are held");
    metrics::counter!("postrider_tenant_quota_holds_total").increment(1);
    let actor = Actor::postrider();
    store(conn, &actor, now, &before, "tenant.hold", |row| row.held_until = Some(until)).await?;
    Ok(())
}

/// Deletes a tenant and everything that it owns.
pub async fn delete(edit: Edit<'_>, id: &TenantId) -> Result<(), ManageError> {
    let mut tx = edit.pool.begin().await?;
    let before = tenants::get_for_update(&mut tx, id).await?.ok_or(ManageError::NotFound("tenant"))?;
    delete_known(edit, &mut tx, &before).await?;
    tx.commit().await?;
    Ok(())
}

/// The same of a tenant that the transaction holds.
pub(crate) async fn delete_known(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    before: &TenantRow,
) -> Result<(), ManageError> {
    let id = &before.id;
    delete_owned(edit, conn, id).await?;
    tenants::delete(conn, id).await?;
    let change = Change {
        tenant: Some(id),
        action: "tenant.delete",
        entity_id: id.as_str(),
        before: Some(audited(before)),
        after: None,
    };
    edit.publish(conn, before.version + 1, &edit.deleted(id.into(), EntityKind::Tenant), change).await?;
    Ok(())
}

async fn delete_owned(edit: Edit<'_>, conn: &mut PgConnection, tenant: &TenantId) -> Result<(), ManageError> {
    for (id, version) in subscriptions::delete_all(conn, tenant, None).await? {
        let body = edit.deleted((&id).into(), EntityKind::Subscription);
        edit.publish(conn, version + 1, &body, deleted_with(tenant, "subscription.delete", id.as_str())).await?;
    }
    endpoint_activity::delete(conn, tenant, None).await?;
    for (id, version) in endpoints::delete_all(conn, tenant).await? {
        let body = edit.deleted((&id).into(), EntityKind::Endpoint);
        edit.publish(conn, version + 1, &body, deleted_with(tenant, "endpoint.delete", id.as_str())).await?;
    }
    Ok(())
}

/// The audit record of what went with its owner.
pub(super) fn deleted_with<'a>(tenant: &'a TenantId, action: &'static str, entity_id: &'a str) -> Change<'a> {
    Change { tenant: Some(tenant), action, entity_id, before: None, after: None }
}

pub(crate) fn entry(row: &TenantRow) -> ConfigBody {
    ConfigBody::Tenant(Tenant {
        id: row.id.clone(),
        name: row.name.clone(),
        suspended: row.suspended.is_some(),
        held_until: row.held_until,
    })
}

pub(crate) fn audited(row: &TenantRow) -> Value {
    json!({
        "name": row.name,
        "suspended": row.suspended.as_ref().map(|suspension| {
            json!({ "at": suspension.at.to_rfc3339(), "reason": suspension.reason })
        }),
        "quotas": {
            "endpoints": row.quotas.endpoints,
            "publish_per_second": row.quotas.publish_per_second,
            "deliveries_per_day": row.quotas.deliveries_per_day,
        },
        "held_until": row.held_until.map(Timestamp::to_rfc3339),
        "version": row.version,
    })
}
