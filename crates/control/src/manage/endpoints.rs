//! Changes of endpoints.

use std::collections::BTreeMap;

use postrider_domain::{
    ConfigBody, Endpoint, EndpointId, EntityId, EntityKind, TenantId,
    egress::Target,
    endpoint::{EndpointSecret, EndpointSettings, purpose},
    filter::Filter,
    mapping::Mapping,
    pattern::TypePattern,
    retry::RetryPolicy,
    seal::{KeyRing, Sealed, SealedAt},
};
use postrider_postgres::{
    PgConnection,
    endpoint_activity::{self, ActivityRow},
    endpoints::{self, DisabledReason, EndpointRow, RotationSchedule, Verification},
    secrets as secret_rows,
    subscriptions::{self, SubscriptionRow},
    tenants,
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{
    Edit, ManageError,
    endpoint_metadata::MetadataPatch,
    endpoint_settings::{self, SettingsPatch},
    endpoint_state::{self, set_enabled, start_afresh},
    secrets::{self, NewSecret, ShownSecret, scheduled},
    subscriptions::insert as insert_subscription,
    tenants::deleted_with,
};
use crate::audit::Change;

/// An endpoint that is to be made.
#[derive(Debug)]
pub struct NewEndpoint {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its URL, checked.
    pub target: Target,
    /// Whether deliveries are sent.
    pub enabled: bool,
    /// Deadline of one attempt, milliseconds.
    pub timeout_ms: u32,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// What is other than the default.
    pub settings: SettingsPatch,
    /// What its owner keeps with it.
    pub metadata: MetadataPatch,
    /// How it has to show that it wants events.
    pub verification: Option<Verification>,
    /// How its secret changes by itself.
    pub rotation: Option<RotationSchedule>,
    /// Its first signing secret.
    pub secret: NewSecret,
    /// The subscriptions that it starts with.
    pub subscriptions: Vec<NewSubscription>,
}

/// A subscription that is to be made.
#[derive(Debug)]
pub struct NewSubscription {
    /// The event types that it wants.
    pub event_types: Vec<TypePattern>,
    /// What must hold besides.
    pub filter: Option<Filter>,
    /// What is sent instead of the endpoint's usual request.
    pub mapping: Option<Mapping>,
}

/// What of an endpoint is to be changed.
#[derive(Debug, Default)]
pub struct EndpointPatch {
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its URL, checked.
    pub target: Option<Target>,
    /// Whether deliveries are sent.
    pub enabled: Option<bool>,
    /// Deadline of one attempt, milliseconds.
    pub timeout_ms: Option<u32>,
    /// What happens after a failed attempt.
    pub retry: Option<RetryPolicy>,
    /// Everything that has a default.
    pub settings: SettingsPatch,
    /// What its owner keeps with it.
    pub metadata: MetadataPatch,
    /// How it has to show that it wants events; `Some(None)`: it need not.
    pub verification: Option<Option<Verification>>,
    /// How its secret changes by itself; `Some(None)`: it does not.
    pub rotation: Option<Option<RotationSchedule>>,
}

/// An endpoint just made.
pub struct CreatedEndpoint {
    /// Its row.
    pub endpoint: EndpointRow,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionRow>,
    /// Its signing secret, which is shown only now.
    pub secret: ShownSecret,
}

/// Makes an endpoint with its first secret and subscriptions.
pub async fn create(
    edit: Edit<'_>,
    tenant: &TenantId,
    new: NewEndpoint,
    rng: &mut (impl CryptoRng + Send),
) -> Result<CreatedEndpoint, ManageError> {
    let id = EndpointId::generate(edit.now, rng);
    let (secret, shown) = secrets::sealed(edit, tenant, &id, 1, new.secret, rng);
    let settings = new
        .settings
        .apply(EndpointSettings::default(), |purpose, text| seal(edit.key_ring, tenant, &id, purpose, 1, text, rng))?;
    let mut row = EndpointRow {
        url: seal(edit.key_ring, tenant, &id, purpose::URL, 1, new.target.url.as_str().as_bytes(), rng),
        id,
        tenant: tenant.clone(),
        name: new.name,
        description: new.description,
        origin: new.target.origin,
        enabled: true,
        enabled_version: 1,
        disabled: None,
        timeout_ms: new.timeout_ms,
        retry: new.retry,
        settings,
        metadata: new.metadata.apply(BTreeMap::new())?,
        verification: new.verification,
        verified_at: None,
        rotation: new.rotation.map(|schedule| scheduled(schedule, edit.now)),
        version: 1,
        created_by: Some(edit.actor.id.clone()),
        created_at: edit.now,
        updated_at: edit.now,
    };
    set_enabled(&mut row, new.enabled, None, edit.now);
    secrets::check_style(&row, std::slice::from_ref(&secret))?;

    let mut tx = edit.pool.tenant(tenant).await?;
    // Held until the commit, so that the tenant is not deleted meanwhile without this endpoint.
    let owner = tenants::get_for_update(&mut tx, tenant).await?.ok_or(ManageError::NotFound("tenant"))?;
    if let Some(most) = owner.quotas.endpoints
        && endpoints::count(&mut tx, tenant).await? >= most
    {
        let message = format!("the tenant may have {most} endpoints and has them: delete one, or ask the operator");
        return Err(ManageError::Conflict(message));
    }
    endpoints::insert(&mut tx, tenant, &row).await?;
    secret_rows::insert(&mut tx, tenant, &row.id, &secret).await?;
    endpoint_state::remember(&mut tx, edit.actor, None, &row, None).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "endpoint.create",
        entity_id: row.id.as_str(),
        before: None,
        after: Some(audited(&row)),
    };
    edit.publish(&mut tx, row.version, &entry(&row, vec![secret.secret]), change).await?;
    let mut subscriptions = Vec::with_capacity(new.subscriptions.len());
    for subscription in new.subscriptions {
        subscriptions.push(insert_subscription(edit, &mut tx, tenant, &row.id, subscription, rng).await?);
    }
    tx.commit().await?;
    Ok(CreatedEndpoint { endpoint: row, subscriptions, secret: shown })
}

/// Changes what the patch names.
pub async fn update(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    patch: EndpointPatch,
    rng: &mut (impl CryptoRng + Send),
) -> Result<Known, ManageError> {
    change(edit, tenant, id, ("endpoint.update", None), |row| patched(edit, row, patch, rng)).await
}

/// An endpoint, and what it has come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The endpoint.
    pub row: EndpointRow,
    /// What was counted of it; none if nothing was.
    pub activity: Option<ActivityRow>,
}

/// Changes a row, its version one higher, in a transaction. `note` is what is said to its being enabled.
pub(super) async fn change(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    (action, note): (&'static str, Option<&str>),
    change: impl FnOnce(EndpointRow) -> Result<EndpointRow, ManageError>,
) -> Result<Known, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before = endpoints::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("endpoint"))?;
    edit.precondition.check(before.version)?;
    let row = change(EndpointRow { version: before.version + 1, updated_at: edit.now, ..before.clone() })?;
    let secrets = secret_rows::list_current(&mut tx, tenant, id, edit.now).await?;
    secrets::check_style(&row, &secrets)?;
    endpoints::update(&mut tx, tenant, &row).await?;
    endpoint_state::remember(&mut tx, edit.actor, Some(&before), &row, note).await?;
    let change = Change {
        tenant: Some(tenant),
        action,
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: Some(audited(&row)),
    };
    let secrets = secrets.into_iter().map(|secret| secret.secret).collect();
    edit.publish(&mut tx, row.version, &entry(&row, secrets), change).await?;
    let activity = endpoint_activity::get(&mut tx, tenant, id).await?;
    tx.commit().await?;
    Ok(Known { row, activity })
}

/// Deletes an endpoint and its subscriptions.
pub async fn delete(edit: Edit<'_>, tenant: &TenantId, id: &EndpointId) -> Result<(), ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before = endpoints::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("endpoint"))?;
    edit.precondition.check(before.version)?;
    delete_known(edit, &mut tx, &before).await?;
    tx.commit().await?;
    Ok(())
}

/// The same of an endpoint that the transaction holds.
pub(crate) async fn delete_known(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    before: &EndpointRow,
) -> Result<(), ManageError> {
    let (tenant, id) = (&before.tenant, &before.id);
    delete_subscriptions(edit, conn, tenant, id).await?;
    endpoints::delete(conn, tenant, id).await?;
    endpoint_activity::delete(conn, tenant, Some(id)).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "endpoint.delete",
        entity_id: id.as_str(),
        before: Some(audited(before)),
        after: None,
    };
    edit.publish(conn, before.version + 1, &edit.deleted(id.into(), EntityKind::Endpoint), change).await?;
    Ok(())
}

/// An endpoint's URL in full: for those who may change the endpoint, never for a log.
pub fn url(key_ring: &KeyRing, row: &EndpointRow) -> Result<String, ManageError> {
    let failed = |reason: String| ManageError::Sealed { entity: row.id.to_string(), reason };
    let opened = key_ring
        .open(&row.url, &row.tenant, &EntityId::from(&row.id), purpose::URL)
        .map_err(|error| failed(error.to_string()))?;
    String::from_utf8(opened.to_vec()).map_err(|error| failed(error.to_string()))
}

async fn delete_subscriptions(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
) -> Result<(), ManageError> {
    for (id, version) in subscriptions::delete_all(conn, tenant, Some(endpoint)).await? {
        let body = edit.deleted((&id).into(), EntityKind::Subscription);
        edit.publish(conn, version + 1, &body, deleted_with(tenant, "subscription.delete", id.as_str())).await?;
    }
    Ok(())
}

/// The row after the patch.
fn patched(
    edit: Edit<'_>,
    mut row: EndpointRow,
    patch: EndpointPatch,
    rng: &mut impl CryptoRng,
) -> Result<EndpointRow, ManageError> {
    row.name = patch.name.unwrap_or(row.name);
    row.description = patch.description.unwrap_or(row.description);
    row.timeout_ms = patch.timeout_ms.unwrap_or(row.timeout_ms);
    row.retry = patch.retry.unwrap_or(row.retry);
    let settings = std::mem::take(&mut row.settings);
    row.settings = patch
        .settings
        .apply(settings, |purpose, text| seal(edit.key_ring, &row.tenant, &row.id, purpose, row.version, text, rng))?;
    row.metadata = patch.metadata.apply(std::mem::take(&mut row.metadata))?;
    if let Some(schedule) = patch.rotation {
        let kept = row.rotation.filter(|rotation| Some(rotation.schedule) == schedule);
        row.rotation = kept.or(schedule.map(|schedule| scheduled(schedule, edit.now)));
    }
    let mut starts_afresh = patch.enabled == Some(true) && !row.enabled;
    let mut must_verify = patch.verification.is_some_and(|method| method != row.verification);
    row.verification = patch.verification.unwrap_or(row.verification);
    if let Some(target) = patch.target
        && *url(edit.key_ring, &row)? != *target.url.as_str()
    {
        let text = target.url.as_str().as_bytes();
        row.url = seal(edit.key_ring, &row.tenant, &row.id, purpose::URL, row.version, text, rng);
        row.origin = target.origin;
        starts_afresh = true;
        must_verify = true;
    }
    if must_verify {
        row.verified_at = None;
    }
    if starts_afresh {
        start_afresh(&mut row);
    }
    let awaited = row.disabled.as_ref().is_some_and(|disabled| disabled.reason == DisabledReason::Unverified);
    // Who does not say whether it is enabled leaves it as it is, as far as its verification allows that.
    let enabled = patch.enabled.unwrap_or(row.enabled || awaited);
    if patch.enabled.is_some() || (must_verify && enabled) {
        set_enabled(&mut row, enabled, None, edit.now);
    }
    Ok(row)
}

pub(super) fn seal(
    key_ring: &KeyRing,
    tenant: &TenantId,
    endpoint: &EndpointId,
    purpose: &str,
    version: i64,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Sealed {
    let entity = EntityId::from(endpoint);
    key_ring.seal(plaintext, SealedAt { tenant, entity: &entity, purpose, version }, rng)
}

pub(crate) fn entry(row: &EndpointRow, secrets: Vec<EndpointSecret>) -> ConfigBody {
    ConfigBody::Endpoint(Box::new(Endpoint {
        id: row.id.clone(),
        tenant: row.tenant.clone(),
        url: row.url.clone(),
        origin: row.origin.clone(),
        enabled: row.enabled,
        enabled_version: row.enabled_version,
        timeout_ms: row.timeout_ms,
        retry: row.retry.clone(),
        secrets,
        settings: row.settings.clone(),
    }))
}

/// An endpoint in the audit log: of its URL only the origin.
pub(crate) fn audited(row: &EndpointRow) -> Value {
    json!({
        "name": row.name,
        "description": row.description,
        "url_origin": row.origin,
        "enabled": row.enabled,
        "enabled_version": row.enabled_version,
        "disabled_reason": row.disabled.as_ref().map(|disabled| disabled.reason.as_str()),
        "disabled_note": row.disabled.as_ref().and_then(|disabled| disabled.note.as_deref()),
        "timeout_ms": row.timeout_ms,
        "retry": row.retry,
        "settings": endpoint_settings::audited(&row.settings),
        "metadata": row.metadata,
        "verification": row.verification.map(Verification::as_str),
        "verified_at": row.verified_at,
        "secret_rotation": row.rotation.map(|rotation| rotation.schedule),
        "version": row.version,
    })
}

#[cfg(test)]
mod tests {
    use postrider_domain::Timestamp;
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn the_audit_log_shows_no_more_of_a_url_than_its_origin() {
        let rng = &mut StdRng::seed_from_u64(7);
        let key_ring = KeyRing::parse(&KeyRing::generate_text(rng)).expect("a generated ring parses");
        let (tenant, id) = (TenantId::from_trusted("ten_1"), EndpointId::from_trusted("ep_1"));
        let row = EndpointRow {
            url: seal(&key_ring, &tenant, &id, purpose::URL, 1, b"https://example.com/hook/s3cret", rng),
            id,
            tenant,
            name: "hook".to_owned(),
            description: String::new(),
            origin: "https://example.com".to_owned(),
            enabled: true,
            enabled_version: 1,
            disabled: None,
            timeout_ms: 1_000,
            retry: RetryPolicy::default(),
            settings: EndpointSettings::default(),
            metadata: BTreeMap::new(),
            verification: None,
            verified_at: None,
            rotation: None,
            version: 1,
            created_by: None,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        let audited = audited(&row).to_string();
        assert!(audited.contains("https://example.com") && !audited.contains("s3cret"), "{audited}");
        assert_eq!(url(&key_ring, &row).expect("it opens"), "https://example.com/hook/s3cret");
        let other = EndpointRow { id: EndpointId::from_trusted("ep_2"), ..row };
        assert!(url(&key_ring, &other).is_err(), "a URL is sealed to its endpoint");
    }
}
