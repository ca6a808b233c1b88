//! Changes of endpoints.

use postrider_domain::{
    ConfigBody, Endpoint, EndpointId, EntityId, EntityKind, SecretId, TenantId, Timestamp,
    egress::Target,
    endpoint::{EndpointSecret, EndpointSettings, purpose},
    filter::Filter,
    mapping::Mapping,
    pattern::TypePattern,
    retry::RetryPolicy,
    seal::{KeyRing, Sealed, SealedAt, Zeroizing},
    signing::SigningSecret,
};
use postrider_postgres::{
    PgConnection,
    endpoints::{self, EndpointRow},
    outbox, secrets,
    subscriptions::{self, SubscriptionRow},
    tenants,
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{
    Edit, ManageError,
    endpoint_settings::{self, SettingsPatch},
    subscriptions::insert as insert_subscription,
    tenants::deleted_with,
};
use crate::audit::{Change, record};

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
}

/// What becomes of what was held for an endpoint that is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is delivered.
    Delivered,
    /// What was matched before this, in broker time, is skipped; the rest is delivered.
    SkippedBefore(Timestamp),
}

/// An endpoint just made.
pub struct CreatedEndpoint {
    /// Its row.
    pub endpoint: EndpointRow,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionRow>,
    /// Its signing secret, which is shown only now.
    pub secret: Zeroizing<String>,
}

/// Makes an endpoint with its first secret and subscriptions.
pub async fn create(
    edit: Edit<'_>,
    tenant: &TenantId,
    new: NewEndpoint,
    rng: &mut (impl CryptoRng + Send),
) -> Result<CreatedEndpoint, ManageError> {
    let id = EndpointId::generate(edit.now, rng);
    let secret_text = SigningSecret::generate(rng).to_text();
    let secret = EndpointSecret {
        id: SecretId::generate(edit.now, rng),
        sealed: seal(edit.key_ring, tenant, &id, purpose::SECRET, 1, secret_text.as_bytes(), rng),
        expires_at: None,
    };
    let settings = new
        .settings
        .apply(EndpointSettings::default(), |purpose, text| seal(edit.key_ring, tenant, &id, purpose, 1, text, rng))?;
    let row = EndpointRow {
        url: seal(edit.key_ring, tenant, &id, purpose::URL, 1, new.target.url.as_str().as_bytes(), rng),
        id,
        tenant: tenant.clone(),
        name: new.name,
        description: new.description,
        origin: new.target.origin,
        enabled: new.enabled,
        enabled_version: 1,
        disabled: None,
        timeout_ms: new.timeout_ms,
        retry: new.retry,
        settings,
        version: 1,
        created_at: edit.now,
        updated_at: edit.now,
    };

    let mut tx = edit.pool.begin().await?;
    // Held until the commit, so that the tenant is not deleted meanwhile without this endpoint.
    tenants::get_for_update(&mut tx, tenant).await?.ok_or(ManageError::NotFound("tenant"))?;
    endpoints::insert(&mut tx, tenant, &row).await?;
    secrets::insert(&mut tx, tenant, &row.id, &secret, edit.now).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "endpoint.create",
        entity_id: row.id.as_str(),
        before: None,
        after: Some(audited(&row)),
    };
    edit.publish(&mut tx, row.version, &entry(&row, vec![secret]), change).await?;
    let mut subscriptions = Vec::with_capacity(new.subscriptions.len());
    for subscription in new.subscriptions {
        subscriptions.push(insert_subscription(edit, &mut tx, tenant, &row.id, subscription, rng).await?);
    }
    tx.commit().await?;
    Ok(CreatedEndpoint { endpoint: row, subscriptions, secret: secret_text })
}

/// Changes what the patch names.
pub async fn update(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    patch: EndpointPatch,
    rng: &mut (impl CryptoRng + Send),
) -> Result<EndpointRow, ManageError> {
    change(edit, tenant, id, "endpoint.update", |row| patched(edit, row, patch, rng)).await
}

/// Pauses an endpoint: what comes for it is held until it is resumed.
pub async fn pause(edit: Edit<'_>, tenant: &TenantId, id: &EndpointId) -> Result<EndpointRow, ManageError> {
    change(edit, tenant, id, "endpoint.pause", |mut row| {
        row.settings.paused = true;
        Ok(row)
    })
    .await
}

/// Resumes an endpoint, and clears an automatic disable that the data plane knows of.
pub async fn resume(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    held: Held,
) -> Result<EndpointRow, ManageError> {
    change(edit, tenant, id, "endpoint.resume", |row| Ok(resumed(row, held))).await
}

/// Changes a row, its version one higher, in a transaction.
async fn change(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    action: &'static str,
    change: impl FnOnce(EndpointRow) -> Result<EndpointRow, ManageError>,
) -> Result<EndpointRow, ManageError> {
    let mut tx = edit.pool.begin().await?;
    let before = endpoints::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("endpoint"))?;
    let row = change(EndpointRow { version: before.version + 1, updated_at: edit.now, ..before.clone() })?;
    endpoints::update(&mut tx, tenant, &row).await?;
    let secrets = secrets::list_current(&mut tx, tenant, id, edit.now).await?;
    let change = Change {
        tenant: Some(tenant),
        action,
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: Some(audited(&row)),
    };
    edit.publish(&mut tx, row.version, &entry(&row, secrets), change).await?;
    tx.commit().await?;
    Ok(row)
}

/// Deletes an endpoint and its subscriptions.
pub async fn delete(edit: Edit<'_>, tenant: &TenantId, id: &EndpointId) -> Result<(), ManageError> {
    let mut tx = edit.pool.begin().await?;
    let before = endpoints::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("endpoint"))?;
    delete_subscriptions(edit, &mut tx, tenant, id).await?;
    endpoints::delete(&mut tx, tenant, id).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "endpoint.delete",
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: None,
    };
    edit.publish(&mut tx, before.version + 1, &edit.deleted(id.into(), EntityKind::Endpoint), change).await?;
    tx.commit().await?;
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
        outbox::push(conn, version + 1, &body).await?;
        record(conn, edit.actor, edit.now, deleted_with(tenant, "subscription.delete", id.as_str())).await?;
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
    let mut starts_afresh = patch.enabled == Some(true) && !row.enabled;
    if let Some(target) = patch.target
        && *url(edit.key_ring, &row)? != *target.url.as_str()
    {
        let text = target.url.as_str().as_bytes();
        row.url = seal(edit.key_ring, &row.tenant, &row.id, purpose::URL, row.version, text, rng);
        row.origin = target.origin;
        starts_afresh = true;
    }
    if starts_afresh {
        start_afresh(&mut row);
    }
    if let Some(enabled) = patch.enabled {
        row.enabled = enabled;
        row.disabled = None;
    }
    Ok(row)
}

/// Ends what the data plane knows against an endpoint, and its disable with it.
fn start_afresh(row: &mut EndpointRow) {
    row.enabled_version += 1;
    row.enabled |= row.disabled.take().is_some();
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

fn seal(
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

pub(super) fn entry(row: &EndpointRow, secrets: Vec<EndpointSecret>) -> ConfigBody {
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
pub(super) fn audited(row: &EndpointRow) -> Value {
    json!({
        "name": row.name,
        "description": row.description,
        "url_origin": row.origin,
        "enabled": row.enabled,
        "enabled_version": row.enabled_version,
        "disabled_reason": row.disabled.map(|disabled| disabled.reason.as_str()),
        "timeout_ms": row.timeout_ms,
        "retry": row.retry,
        "settings": endpoint_settings::audited(&row.settings),
        "version": row.version,
    })
}

#[cfg(test)]
mod tests {
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
            version: 1,
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
