//! Changes of API keys. The data plane does not know them, and of a key the outbox has only that a text of it ends: so
//! the directory's topic remembers what the database forgets when it is restored from an older backup.

use std::time::Duration;

use ipnet::IpNet;
use postrider_domain::{
    ConfigBody, EntityId, EntityKind, KeyId, TenantId, Timestamp,
    config_entry::Deleted,
    seal::{KeyRing, Zeroizing},
};
use postrider_postgres::{
    Error, PgConnection,
    api_keys::{self, ApiKeyRow},
    outbox, tenants,
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{Edit, ManageError};
use crate::{
    audit::{Actor, Change, record},
    auth::{KeyText, Scope, rate::RateLimit},
};

/// A key that is to be made.
#[derive(Debug)]
pub struct NewApiKey {
    /// The tenant that it belongs to; none for an operator key.
    pub tenant: Option<TenantId>,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From which networks it works; none: from everywhere.
    pub allowed_cidrs: Vec<IpNet>,
    /// How many requests it may make; none: as many as it likes.
    pub rate_limit: Option<RateLimit>,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key; the text is shown only now.
pub async fn create(
    edit: Edit<'_>,
    new: NewApiKey,
    rng: &mut (impl CryptoRng + Send),
) -> Result<(ApiKeyRow, Zeroizing<String>), ManageError> {
    let mut tx = edit.pool.begin_for(new.tenant.as_ref()).await?;
    if let Some(tenant) = &new.tenant {
        tenants::get_for_update(&mut tx, tenant).await?.ok_or(ManageError::NotFound("tenant"))?;
    }
    let made = insert(&mut tx, edit.key_ring, edit.actor, new, edit.now, rng).await?;
    tx.commit().await?;
    Ok(made)
}

/// Revokes a key of a tenant (of operators, if none); one that was revoked before stays as it was.
pub async fn revoke(edit: Edit<'_>, tenant: Option<&TenantId>, id: &KeyId) -> Result<ApiKeyRow, ManageError> {
    let mut tx = edit.pool.begin_for(tenant).await?;
    let row = revoke_key(&mut tx, edit.actor, tenant, id, edit.now).await?.ok_or(ManageError::NotFound("API key"))?;
    tx.commit().await?;
    Ok(row)
}

/// Gives a key of a tenant (of operators, if none) a new text; the former works for `grace` more. Returns it with the
/// new text, which is shown only now.
pub async fn rotate(
    edit: Edit<'_>,
    tenant: Option<&TenantId>,
    id: &KeyId,
    grace: Duration,
    rng: &mut (impl CryptoRng + Send),
) -> Result<(ApiKeyRow, Zeroizing<String>), ManageError> {
    let mut tx = edit.pool.begin_for(tenant).await?;
    let key = KeyText::generate(rng);
    let before = api_keys::get(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("API key"))?;
    let text = (key.prefix(), key.hash(edit.key_ring));
    let rotated = api_keys::rotate(&mut tx, tenant, id, (text.0, &text.1), edit.now + grace, edit.now).await?;
    let row = rotated.ok_or_else(|| ManageError::Conflict("the API key was revoked: make another".to_owned()))?;
    publish_end(&mut tx, &before.prefix, ENDS_LATER, edit.now + grace).await?;
    if let Some(older) = &before.previous {
        publish_end(&mut tx, &older.prefix, ENDED, edit.now).await?;
    }
    let change = Change {
        tenant,
        action: "api_key.rotate",
        entity_id: id.as_str(),
        before: Some(audited(&before)),
        after: Some(audited(&row)),
    };
    record(&mut tx, edit.actor, edit.now, change).await?;
    tx.commit().await?;
    Ok((row, key.into_text()))
}

/// Makes an operator key, for a command that is run beside the database; returns its row and its text.
pub async fn create_operator_key(
    conn: &mut PgConnection,
    key_ring: &KeyRing,
    name: &str,
    expires_at: Option<Timestamp>,
    now: Timestamp,
    rng: &mut (impl CryptoRng + Send),
) -> Result<(ApiKeyRow, Zeroizing<String>), Error> {
    let new = NewApiKey {
        tenant: None,
        name: name.to_owned(),
        scopes: vec![Scope::All],
        allowed_cidrs: Vec::new(),
        rate_limit: None,
        expires_at,
    };
    insert(conn, key_ring, &Actor::cli(), new, now, rng).await
}

/// Up to 1,000 operator keys, oldest first.
pub async fn list_operator_keys(conn: &mut PgConnection) -> Result<Vec<ApiKeyRow>, Error> {
    api_keys::list(conn, None, None, 1_000).await
}

/// Revokes an operator key, for a command that is run beside the database.
pub async fn revoke_operator_key(
    conn: &mut PgConnection,
    id: &KeyId,
    now: Timestamp,
) -> Result<Option<ApiKeyRow>, Error> {
    revoke_key(conn, &Actor::cli(), None, id, now).await
}

async fn insert(
    conn: &mut PgConnection,
    key_ring: &KeyRing,
    actor: &Actor,
    new: NewApiKey,
    now: Timestamp,
    rng: &mut (impl CryptoRng + Send),
) -> Result<(ApiKeyRow, Zeroizing<String>), Error> {
    let key = KeyText::generate(rng);
    let row = ApiKeyRow {
        id: KeyId::generate(now, rng),
        tenant: new.tenant,
        name: new.name,
        prefix: key.prefix().to_owned(),
        hash: key.hash(key_ring),
        scopes: new.scopes.iter().map(ToString::to_string).collect(),
        allowed_cidrs: new.allowed_cidrs,
        rate_limit: new.rate_limit.map(|limit| (limit.requests, limit.period_seconds)),
        rotated_at: None,
        previous: None,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    api_keys::insert(conn, &row).await?;
    let change = Change {
        tenant: row.tenant.as_ref(),
        action: "api_key.create",
        entity_id: row.id.as_str(),
        before: None,
        after: Some(audited(&row)),
    };
    record(conn, actor, now, change).await?;
    Ok((row, key.into_text()))
}

/// The versions of a text's end: that it was set, and that it came at once instead.
const ENDS_LATER: i64 = 1;
const ENDED: i64 = 2;

/// Publishes that a text ends at `at`, under its public part.
async fn publish_end(conn: &mut PgConnection, prefix: &str, version: i64, at: Timestamp) -> Result<(), Error> {
    let deleted = Deleted { id: EntityId::from_trusted(format!("pr_{prefix}")), entity: EntityKind::ApiKey, at };
    outbox::push(conn, version, &ConfigBody::Deleted(deleted)).await
}

/// The public part of the text whose end was published under this id.
pub(crate) fn ended_prefix(id: &EntityId) -> Option<&str> {
    id.as_str().strip_prefix("pr_")
}

async fn revoke_key(
    conn: &mut PgConnection,
    actor: &Actor,
    tenant: Option<&TenantId>,
    id: &KeyId,
    now: Timestamp,
) -> Result<Option<ApiKeyRow>, Error> {
    let Some(row) = api_keys::revoke(conn, tenant, id, now).await? else {
        return Ok(None);
    };
    for prefix in std::iter::once(&row.prefix).chain(row.previous.as_ref().map(|older| &older.prefix)) {
        publish_end(conn, prefix, ENDED, now).await?;
    }
    let change =
        Change { tenant, action: "api_key.revoke", entity_id: id.as_str(), before: None, after: Some(audited(&row)) };
    record(conn, actor, now, change).await?;
    Ok(Some(row))
}

pub(crate) fn audited(row: &ApiKeyRow) -> Value {
    json!({
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "allowed_cidrs": row.allowed_cidrs,
        "rate_limit": row.rate_limit.map(|(requests, period_seconds)| {
            json!({ "requests": requests, "period_seconds": period_seconds })
        }),
        "expires_at": row.expires_at.map(Timestamp::to_rfc3339),
        "rotated_at": row.rotated_at.map(Timestamp::to_rfc3339),
        "revoked_at": row.revoked_at.map(Timestamp::to_rfc3339),
    })
}
