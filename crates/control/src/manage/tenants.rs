//! Changes of tenants.

use postrider_domain::{ConfigBody, EntityKind, TenantId, config_entry::Tenant};
use postrider_postgres::{
    PgConnection, endpoint_activity, endpoints, outbox, subscriptions,
    tenants::{self, TenantRow},
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{Edit, ManageError};
use crate::audit::{Change, record};

/// Makes a tenant.
pub async fn create(edit: Edit<'_>, name: &str, rng: &mut (impl CryptoRng + Send)) -> Result<TenantRow, ManageError> {
    let id = TenantId::generate(edit.now, rng);
    let mut tx = edit.pool.begin().await?;
    let row = tenants::insert(&mut tx, &id, name, edit.now).await?;
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

/// Renames a tenant.
pub async fn rename(edit: Edit<'_>, id: &TenantId, name: &str) -> Result<TenantRow, ManageError> {
    let mut tx = edit.pool.begin().await?;
    let before = tenants::get_for_update(&mut tx, id).await?.ok_or(ManageError::NotFound("tenant"))?;
    let row = tenants::rename(&mut tx, id, name, edit.now).await?.ok_or(ManageError::NotFound("tenant"))?;
    let change = Change {
        tenant: Some(id),
        action: "tenant.update",
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: Some(audited(&row)),
    };
    edit.publish(&mut tx, row.version, &entry(&row), change).await?;
    tx.commit().await?;
    Ok(row)
}

/// Deletes a tenant and everything that it owns.
pub async fn delete(edit: Edit<'_>, id: &TenantId) -> Result<(), ManageError> {
    let mut tx = edit.pool.begin().await?;
    let before = tenants::get_for_update(&mut tx, id).await?.ok_or(ManageError::NotFound("tenant"))?;
    delete_owned(edit, &mut tx, id).await?;
    tenants::delete(&mut tx, id).await?;
    let change = Change {
        tenant: Some(id),
        action: "tenant.delete",
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: None,
    };
    edit.publish(&mut tx, before.version + 1, &edit.deleted(id.into(), EntityKind::Tenant), change).await?;
    tx.commit().await?;
    Ok(())
}

async fn delete_owned(edit: Edit<'_>, conn: &mut PgConnection, tenant: &TenantId) -> Result<(), ManageError> {
    for (id, version) in subscriptions::delete_all(conn, tenant, None).await? {
        let body = edit.deleted((&id).into(), EntityKind::Subscription);
        outbox::push(conn, version + 1, &body).await?;
        record(conn, edit.actor, edit.now, deleted_with(tenant, "subscription.delete", id.as_str())).await?;
    }
    endpoint_activity::delete(conn, tenant, None).await?;
    for (id, version) in endpoints::delete_all(conn, tenant).await? {
        let body = edit.deleted((&id).into(), EntityKind::Endpoint);
        outbox::push(conn, version + 1, &body).await?;
        record(conn, edit.actor, edit.now, deleted_with(tenant, "endpoint.delete", id.as_str())).await?;
    }
    Ok(())
}

/// The audit record of what went with its owner.
pub(super) fn deleted_with<'a>(tenant: &'a TenantId, action: &'static str, entity_id: &'a str) -> Change<'a> {
    Change { tenant: Some(tenant), action, entity_id, before: None, after: None }
}

fn entry(row: &TenantRow) -> ConfigBody {
    ConfigBody::Tenant(Tenant { id: row.id.clone(), name: row.name.clone() })
}

fn audited(row: &TenantRow) -> Value {
    json!({ "name": row.name, "version": row.version })
}
