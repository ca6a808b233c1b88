//! Changes of subscriptions.

use postrider_domain::{
    ConfigBody, EndpointId, EntityKind, Subscription, SubscriptionId, TenantId, filter::Filter, mapping::Mapping,
    pattern::TypePattern,
};
use postrider_postgres::{
    PgConnection, endpoints,
    subscriptions::{self, SubscriptionRow},
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{Edit, ManageError, endpoints::NewSubscription};
use crate::audit::Change;

/// The most subscriptions of one endpoint.
pub const MAX_PER_ENDPOINT: usize = 100;

/// What of a subscription is to be changed.
#[derive(Debug, Default)]
pub struct SubscriptionPatch {
    /// The event types that it wants.
    pub event_types: Option<Vec<TypePattern>>,
    /// What must hold besides; `Some(None)` removes the filter.
    pub filter: Option<Option<Filter>>,
    /// What is sent instead of the endpoint's usual request; `Some(None)` removes the mapping.
    pub mapping: Option<Option<Mapping>>,
}

/// Makes a subscription of an endpoint.
pub async fn create(
    edit: Edit<'_>,
    tenant: &TenantId,
    endpoint: &EndpointId,
    new: NewSubscription,
    rng: &mut (impl CryptoRng + Send),
) -> Result<SubscriptionRow, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    endpoints::get_for_update(&mut tx, tenant, endpoint).await?.ok_or(ManageError::NotFound("endpoint"))?;
    let present = usize::try_from(subscriptions::count(&mut tx, tenant, endpoint).await?).unwrap_or(usize::MAX);
    if present >= MAX_PER_ENDPOINT {
        return Err(ManageError::TooManySubscriptions(MAX_PER_ENDPOINT));
    }
    let row = insert(edit, &mut tx, tenant, endpoint, new, rng).await?;
    tx.commit().await?;
    Ok(row)
}

/// Adds a subscription within a transaction that holds its endpoint.
pub(super) async fn insert(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    new: NewSubscription,
    rng: &mut (impl CryptoRng + Send),
) -> Result<SubscriptionRow, ManageError> {
    let row = SubscriptionRow {
        id: SubscriptionId::generate(edit.now, rng),
        tenant: tenant.clone(),
        endpoint: endpoint.clone(),
        event_types: new.event_types,
        filter: new.filter,
        mapping: new.mapping,
        version: 1,
        created_at: edit.now,
        updated_at: edit.now,
    };
    subscriptions::insert(conn, tenant, &row).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "subscription.create",
        entity_id: row.id.as_str(),
        before: None,
        after: Some(audited(&row)),
    };
    edit.publish(conn, row.version, &entry(&row), change).await?;
    Ok(row)
}

/// Changes what the patch names.
pub async fn update(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &SubscriptionId,
    patch: SubscriptionPatch,
) -> Result<SubscriptionRow, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before =
        subscriptions::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("subscription"))?;
    edit.precondition.check(before.version)?;
    let mut row = before.clone();
    row.event_types = patch.event_types.unwrap_or(row.event_types);
    row.filter = patch.filter.unwrap_or(row.filter);
    row.mapping = patch.mapping.unwrap_or(row.mapping);
    row.version += 1;
    row.updated_at = edit.now;
    subscriptions::update(&mut tx, tenant, &row).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "subscription.update",
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: Some(audited(&row)),
    };
    edit.publish(&mut tx, row.version, &entry(&row), change).await?;
    tx.commit().await?;
    Ok(row)
}

/// Deletes a subscription.
pub async fn delete(edit: Edit<'_>, tenant: &TenantId, id: &SubscriptionId) -> Result<(), ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before =
        subscriptions::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("subscription"))?;
    edit.precondition.check(before.version)?;
    delete_known(edit, &mut tx, &before).await?;
    tx.commit().await?;
    Ok(())
}

/// The same of a subscription that the transaction holds.
pub(crate) async fn delete_known(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    before: &SubscriptionRow,
) -> Result<(), ManageError> {
    let (tenant, id) = (&before.tenant, &before.id);
    subscriptions::delete(conn, tenant, id).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "subscription.delete",
        entity_id: id.as_str(),
        before: Some(audited(before)),
        after: None,
    };
    edit.publish(conn, before.version + 1, &edit.deleted(id.into(), EntityKind::Subscription), change).await?;
    Ok(())
}

pub(crate) fn entry(row: &SubscriptionRow) -> ConfigBody {
    ConfigBody::Subscription(Subscription {
        id: row.id.clone(),
        tenant: row.tenant.clone(),
        endpoint: row.endpoint.clone(),
        event_types: row.event_types.clone(),
        filter: row.filter.clone(),
        mapping: row.mapping.clone(),
        created_at: row.created_at,
    })
}

pub(crate) fn audited(row: &SubscriptionRow) -> Value {
    json!({
        "endpoint_id": row.endpoint.as_str(),
        "event_types": row.event_types,
        "filter": row.filter,
        "mapping": row.mapping,
        "version": row.version,
    })
}
