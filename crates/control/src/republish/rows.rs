//! Rows after what the topic says of them.

use std::collections::BTreeMap;

use postrider_domain::{
    Endpoint, EntityId, EventType, Subscription, TenantId, Timestamp,
    config_entry::Tenant,
    endpoint::{EndpointSecret, purpose},
    signing::SigningSecret,
};
use postrider_postgres::{
    Error, PgConnection,
    endpoints::{self, EndpointRow},
    event_types::EventTypeRow,
    secrets::{self, SecretKind, SecretRow, SecretSource},
    subscriptions::SubscriptionRow,
    tenants::{Suspension, TenantRow},
};
use serde_json::Value;

use super::RepublishError;
use crate::{
    audit::{Change, record},
    manage::{
        Edit,
        endpoint_state::{remember, set_enabled},
        endpoints::audited,
    },
};

/// What is said to a suspension or a disable that the topic knows of and the database did not.
const SINCE_THE_BACKUP: &str = "since the backup that the database was restored from";

/// Writes down what was taken over.
pub(super) async fn write_down(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    id: &EntityId,
    before: Option<Value>,
    after: Value,
) -> Result<(), Error> {
    let change = Change { tenant, action: "config.take_over", entity_id: id.as_str(), before, after: Some(after) };
    record(conn, edit.actor, edit.now, change).await
}

/// A tenant. What it may have and do, the topic does not know.
pub(super) fn tenant(before: &TenantRow, now: &Tenant, version: i64, at: Timestamp) -> TenantRow {
    let suspended = now
        .suspended
        .then(|| before.suspended.clone().unwrap_or_else(|| Suspension { at, reason: SINCE_THE_BACKUP.to_owned() }));
    TenantRow {
        name: now.name.clone(),
        suspended,
        held_until: now.held_until,
        version,
        updated_at: at,
        ..before.clone()
    }
}

/// A subscription, all of which the topic knows.
pub(super) fn subscription(now: &Subscription, version: i64, at: Timestamp) -> SubscriptionRow {
    SubscriptionRow {
        id: now.id.clone(),
        tenant: now.tenant.clone(),
        endpoint: now.endpoint.clone(),
        event_types: now.event_types.clone(),
        filter: now.filter.clone(),
        mapping: now.mapping.clone(),
        version,
        created_at: now.created_at,
        updated_at: at,
    }
}

/// An event type, whose sample the topic does not know.
pub(super) fn event_type(before: Option<&EventTypeRow>, now: &EventType, version: i64, at: Timestamp) -> EventTypeRow {
    EventTypeRow {
        id: now.id.clone(),
        name: now.name.clone(),
        group: now.group.clone(),
        description: now.description.clone(),
        schema: now.schema.clone(),
        sample: before.and_then(|row| row.sample.clone()),
        validation: now.validation,
        archived: now.archived,
        version,
        created_at: before.map_or(at, |row| row.created_at),
        updated_at: at,
    }
}

/// Makes an endpoint what the topic says it is; of what only its owner sees, it keeps what the backup has.
pub(super) async fn change_endpoint(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    before: &EndpointRow,
    now: &Endpoint,
    version: i64,
) -> Result<(), RepublishError> {
    let mut row = before.clone();
    if row.url != now.url {
        row.verified_at = None;
    }
    assume(edit, &mut row, now, version)?;
    endpoints::update(conn, &row.tenant, &row).await?;
    take_over_secrets(edit, conn, now, version).await?;
    remember(conn, edit.actor, Some(before), &row, Some(SINCE_THE_BACKUP)).await?;
    let id = EntityId::from(&row.id);
    write_down(edit, conn, Some(&row.tenant), &id, Some(audited(before)), audited(&row)).await?;
    Ok(())
}

/// Makes an endpoint that the database does not know, named after where it is.
pub(super) async fn make_endpoint(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    now: &Endpoint,
    version: i64,
) -> Result<(), RepublishError> {
    let mut row = EndpointRow {
        id: now.id.clone(),
        tenant: now.tenant.clone(),
        name: now.origin.clone(),
        description: String::new(),
        url: now.url.clone(),
        origin: now.origin.clone(),
        enabled: true,
        enabled_version: now.enabled_version,
        disabled: None,
        timeout_ms: now.timeout_ms,
        retry: now.retry.clone(),
        settings: now.settings.clone(),
        metadata: BTreeMap::new(),
        verification: None,
        verified_at: None,
        rotation: None,
        version,
        created_by: Some(edit.actor.id.clone()),
        created_at: edit.now,
        updated_at: edit.now,
    };
    assume(edit, &mut row, now, version)?;
    endpoints::insert(conn, &row.tenant, &row).await?;
    take_over_secrets(edit, conn, now, version).await?;
    remember(conn, edit.actor, None, &row, None).await?;
    write_down(edit, conn, Some(&row.tenant), &EntityId::from(&row.id), None, audited(&row)).await?;
    Ok(())
}

/// Sets in a row what the topic knows of its endpoint.
fn assume(edit: Edit<'_>, row: &mut EndpointRow, now: &Endpoint, version: i64) -> Result<(), RepublishError> {
    open(edit, now, &now.url, purpose::URL)?;
    row.url = now.url.clone();
    row.origin.clone_from(&now.origin);
    row.enabled_version = now.enabled_version;
    row.timeout_ms = now.timeout_ms;
    row.retry = now.retry.clone();
    row.settings = now.settings.clone();
    row.version = version;
    row.updated_at = edit.now;
    if now.enabled {
        // It would not be, had it yet to be verified.
        row.verified_at = row.verified_at.or(row.verification.map(|_| edit.now));
        set_enabled(row, true, None, edit.now);
    } else if row.enabled {
        set_enabled(row, false, Some(SINCE_THE_BACKUP.to_owned()), edit.now);
    }
    Ok(())
}

/// Gives an endpoint the secrets that the topic has of it, and ends all others.
async fn take_over_secrets(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    now: &Endpoint,
    version: i64,
) -> Result<(), RepublishError> {
    let (tenant, id) = (&now.tenant, &now.id);
    for present in secrets::list_current(conn, tenant, id, edit.now).await? {
        let kept = now.secrets.iter().find(|secret| secret.id == present.secret.id);
        if let Some(at) = kept.map_or(Some(edit.now), |secret| secret.expires_at) {
            secrets::expire(conn, tenant, id, &present.secret.id, at).await?;
        }
    }
    for secret in &now.secrets {
        if secrets::get(conn, tenant, id, &secret.id).await?.is_none() {
            secrets::insert(conn, tenant, id, &secret_row(edit, now, secret, version)?).await?;
        }
    }
    Ok(())
}

fn secret_row(
    edit: Edit<'_>,
    endpoint: &Endpoint,
    secret: &EndpointSecret,
    version: i64,
) -> Result<SecretRow, RepublishError> {
    let text = open(edit, endpoint, &secret.sealed, purpose::SECRET)?;
    let failed = |reason: String| RepublishError::Sealed { entity: (&endpoint.id).into(), reason };
    let text = std::str::from_utf8(&text).map_err(|error| failed(error.to_string()))?;
    let public_key = SigningSecret::parse(text).map_err(|error| failed(error.to_string()))?.public_text();
    Ok(SecretRow {
        secret: secret.clone(),
        version,
        kind: if public_key.is_some() { SecretKind::Ed25519 } else { SecretKind::Hmac },
        public_key,
        source: SecretSource::Generated,
        created_by: Some(edit.actor.id.clone()),
        created_at: edit.now,
    })
}

/// Opens what is sealed in an endpoint of the topic: what can't be opened is not ours.
fn open(
    edit: Edit<'_>,
    endpoint: &Endpoint,
    sealed: &postrider_domain::seal::Sealed,
    purpose: &str,
) -> Result<postrider_domain::seal::Zeroizing<Vec<u8>>, RepublishError> {
    let entity = EntityId::from(&endpoint.id);
    let opened = edit.key_ring.open(sealed, &endpoint.tenant, &entity, purpose);
    opened.map_err(|error| RepublishError::Sealed { entity, reason: error.to_string() })
}
