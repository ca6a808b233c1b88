//! Changes of the secrets that an endpoint's deliveries are signed with.

use std::time::Duration;

use postrider_domain::{
    EndpointId, EntityId, SecretId, TenantId, Timestamp,
    endpoint::{EndpointSecret, SigningStyle, purpose},
    seal::Zeroizing,
    signing::SigningSecret,
};
use postrider_postgres::{
    PgConnection,
    endpoints::{self, EndpointRow, Rotation, RotationSchedule},
    secrets::{self, SecretKind, SecretRow, SecretSource},
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{
    Edit, ManageError,
    endpoints::{entry, seal},
};
use crate::audit::{Change, record};

/// The most secrets of one endpoint that sign at a time: each is a signature in every request.
pub const MAX_CURRENT: usize = 10;
/// How long a secret that signs no more is listed.
const LISTED_AFTERWARDS: Duration = Duration::from_hours(90 * 24);

/// The secret that an endpoint is to sign with.
#[derive(Debug)]
pub enum NewSecret {
    /// A new one of this kind.
    Generated(SecretKind),
    /// A new one of this kind, because it was time for it.
    Scheduled(SecretKind),
    /// One that its owner brought, checked.
    Given(SigningSecret),
}

/// What of a new secret its owner is shown.
pub struct ShownSecret {
    /// Its text, if the receiver has to know it.
    pub text: Option<Zeroizing<String>>,
    /// What receivers verify with, of an ed25519 key.
    pub public_key: Option<String>,
}

/// An endpoint whose secret was just changed.
pub struct Rotated {
    /// Its row.
    pub endpoint: EndpointRow,
    /// The new secret.
    pub secret: SecretRow,
    /// What of it its owner is shown.
    pub shown: ShownSecret,
}

/// Gives an endpoint a new secret. Those that it has sign for `grace` more, or for as long as they were to anyway.
pub async fn rotate(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    new: NewSecret,
    grace: Duration,
    rng: &mut (impl CryptoRng + Send),
) -> Result<Rotated, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before = endpoints::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("endpoint"))?;
    edit.precondition.check(before.version)?;
    let rotated = replace(edit, &mut tx, before, new, grace, rng).await?;
    tx.commit().await?;
    Ok(rotated)
}

/// Gives an endpoint a new secret if its schedule says so by now; whether it did.
pub async fn rotate_if_due(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    rng: &mut (impl CryptoRng + Send),
) -> Result<bool, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let Some(before) = endpoints::get_for_update(&mut tx, tenant, id).await? else { return Ok(false) };
    let Some(rotation) = before.rotation.filter(|rotation| rotation.next_at <= edit.now) else { return Ok(false) };
    let current = secrets::list_current(&mut tx, tenant, id, edit.now).await?;
    let kind = current.first().map_or(SecretKind::Hmac, |newest| newest.kind);
    let grace = Duration::from_secs(rotation.schedule.grace_seconds.into());
    replace(edit, &mut tx, before, NewSecret::Scheduled(kind), grace, rng).await?;
    tx.commit().await?;
    Ok(true)
}

/// Ends a secret at once that was to sign for a while yet.
pub async fn expire(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    secret: &SecretId,
) -> Result<SecretRow, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before = endpoints::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("endpoint"))?;
    edit.precondition.check(before.version)?;
    let row = secrets::get(&mut tx, tenant, id, secret).await?.ok_or(ManageError::NotFound("secret"))?;
    let Some(expires_at) = row.secret.expires_at else {
        let message = "it is the secret that signs from now on: rotate it, then the one before can be ended";
        return Err(ManageError::Conflict(message.to_owned()));
    };
    if expires_at <= edit.now {
        return Ok(row);
    }
    let listed_before = listed(&secrets::list_current(&mut tx, tenant, id, edit.now).await?);
    secrets::expire(&mut tx, tenant, id, secret, edit.now).await?;
    let after = EndpointRow { version: before.version + 1, updated_at: edit.now, ..before };
    publish(edit, &mut tx, &after, "endpoint.secret.expire", listed_before).await?;
    tx.commit().await?;
    let secret = EndpointSecret { expires_at: Some(edit.now), ..row.secret };
    Ok(SecretRow { secret, ..row })
}

/// A secret's text, with an entry in the audit log that it was shown.
pub async fn reveal(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &EndpointId,
    secret: &SecretId,
) -> Result<(SecretRow, Zeroizing<String>), ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let endpoint = endpoints::get(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("endpoint"))?;
    let row = secrets::get(&mut tx, tenant, id, secret).await?.ok_or(ManageError::NotFound("secret"))?;
    if row.kind == SecretKind::Ed25519 {
        let message =
            "receivers verify an ed25519 key's signatures with its public key, and nobody needs the other half";
        return Err(ManageError::Conflict(message.to_owned()));
    }
    let text = text(edit, &endpoint, &row)?;
    let revealed = Change {
        tenant: Some(tenant),
        action: "endpoint.secret.reveal",
        entity_id: id.as_str(),
        before: None,
        after: Some(json!({ "secret": secret.as_str() })),
    };
    record(&mut tx, edit.actor, edit.now, revealed).await?;
    tx.commit().await?;
    Ok((row, text))
}

/// When a secret that changes on schedule does so next.
pub(super) fn scheduled(schedule: RotationSchedule, now: Timestamp) -> Rotation {
    Rotation { schedule, next_at: now + Duration::from_secs(schedule.every_seconds.into()) }
}

/// A secret's row, sealed for an endpoint at its `version`.
pub(super) fn sealed(
    edit: Edit<'_>,
    tenant: &TenantId,
    endpoint: &EndpointId,
    version: i64,
    new: NewSecret,
    rng: &mut impl CryptoRng,
) -> (SecretRow, ShownSecret) {
    let mut generate = |kind| match kind {
        SecretKind::Hmac => SigningSecret::generate(rng),
        SecretKind::Ed25519 => SigningSecret::generate_ed25519(rng),
    };
    let (secret, source) = match new {
        NewSecret::Generated(kind) => (generate(kind), SecretSource::Generated),
        NewSecret::Scheduled(kind) => (generate(kind), SecretSource::Scheduled),
        NewSecret::Given(secret) => (secret, SecretSource::Given),
    };
    let (text, public_key) = (secret.to_text(), secret.public_text());
    let row = SecretRow {
        secret: EndpointSecret {
            id: SecretId::generate(edit.now, rng),
            sealed: seal(edit.key_ring, tenant, endpoint, purpose::SECRET, version, text.as_bytes(), rng),
            expires_at: None,
        },
        version,
        kind: if public_key.is_some() { SecretKind::Ed25519 } else { SecretKind::Hmac },
        public_key: public_key.clone(),
        source,
        created_by: Some(edit.actor.id.clone()),
        created_at: edit.now,
    };
    (row, ShownSecret { text: public_key.is_none().then_some(text), public_key })
}

/// Refuses a signing style that none of the secrets can sign in for as long as the endpoint lasts.
pub(super) fn check_style(row: &EndpointRow, secrets: &[SecretRow]) -> Result<(), ManageError> {
    let shared = |secret: &SecretRow| secret.kind == SecretKind::Hmac && secret.secret.expires_at.is_none();
    if row.settings.signing == SigningStyle::Standard || secrets.iter().any(shared) {
        return Ok(());
    }
    let message = "an ed25519 key signs in the style 'standard' only: keep that, or have a secret of the kind 'hmac'";
    Err(ManageError::Setting { field: "/signing", message: message.to_owned() })
}

/// Replaces the secret of an endpoint that the transaction holds.
async fn replace(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    before: EndpointRow,
    new: NewSecret,
    grace: Duration,
    rng: &mut (impl CryptoRng + Send),
) -> Result<Rotated, ManageError> {
    let row = EndpointRow {
        version: before.version + 1,
        updated_at: edit.now,
        rotation: before.rotation.map(|rotation| scheduled(rotation.schedule, edit.now)),
        ..before
    };
    let (tenant, id) = (&row.tenant, &row.id);
    let current = secrets::list_current(conn, tenant, id, edit.now).await?;
    if !grace.is_zero() && current.len() >= MAX_CURRENT {
        let message = format!("{MAX_CURRENT} secrets sign by now, which is all that may: end one, or give no grace");
        return Err(ManageError::Conflict(message));
    }
    let listed_before = listed(&current);
    if let NewSecret::Given(given) = &new {
        refuse_present(edit, &row, &current, given)?;
    }
    let (secret, shown) = sealed(edit, tenant, id, row.version, new, rng);
    check_style(&row, std::slice::from_ref(&secret))?;
    for present in &current {
        secrets::expire(conn, tenant, id, &present.secret.id, edit.now + grace).await?;
    }
    secrets::delete_expired(conn, tenant, id, edit.now - LISTED_AFTERWARDS).await?;
    secrets::insert(conn, tenant, id, &secret).await?;
    publish(edit, conn, &row, "endpoint.secret.rotate", listed_before).await?;
    Ok(Rotated { endpoint: row, secret, shown })
}

/// Refuses a secret that signs already: whoever knows it would go on knowing it.
fn refuse_present(
    edit: Edit<'_>,
    row: &EndpointRow,
    current: &[SecretRow],
    given: &SigningSecret,
) -> Result<(), ManageError> {
    let given = given.to_text();
    for present in current {
        if *text(edit, row, present)? == *given {
            let message = "it is one of the endpoint's secrets already: give another one".to_owned();
            return Err(ManageError::Setting { field: "/secret", message });
        }
    }
    Ok(())
}

/// Writes down an endpoint whose secrets were changed.
async fn publish(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    row: &EndpointRow,
    action: &'static str,
    before: Value,
) -> Result<(), ManageError> {
    endpoints::update(conn, &row.tenant, row).await?;
    let current = secrets::list_current(conn, &row.tenant, &row.id, edit.now).await?;
    let change = Change {
        tenant: Some(&row.tenant),
        action,
        entity_id: row.id.as_str(),
        before: Some(before),
        after: Some(listed(&current)),
    };
    let current = current.into_iter().map(|secret| secret.secret).collect();
    edit.publish(conn, row.version, &entry(row, current), change).await?;
    Ok(())
}

/// Secrets in the audit log: which and until when, and nothing of them.
fn listed(current: &[SecretRow]) -> Value {
    let one = |row: &SecretRow| {
        json!({
            "id": row.secret.id.as_str(),
            "kind": row.kind.as_str(),
            "source": row.source.as_str(),
            "expires_at": row.secret.expires_at,
        })
    };
    json!({ "secrets": current.iter().map(one).collect::<Vec<_>>() })
}

fn text(edit: Edit<'_>, endpoint: &EndpointRow, row: &SecretRow) -> Result<Zeroizing<String>, ManageError> {
    let failed = |reason: String| ManageError::Sealed { entity: endpoint.id.to_string(), reason };
    let entity = EntityId::from(&endpoint.id);
    let opened = edit
        .key_ring
        .open(&row.secret.sealed, &endpoint.tenant, &entity, purpose::SECRET)
        .map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&opened).map_err(|error| failed(error.to_string()))?;
    Ok(Zeroizing::new(text.to_owned()))
}
