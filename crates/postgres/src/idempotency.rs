//! Table `idempotent_requests`.

use postrider_domain::{TenantId, Timestamp};
use sqlx::{Error, PgConnection};

/// A request that is to be executed once.
#[derive(Debug, Clone, Copy)]
pub struct NewClaim<'a> {
    /// Names this execution: random.
    pub claim: i64,
    /// Who asks.
    pub caller: &'a str,
    /// For which tenant, if for one.
    pub tenant: Option<&'a TenantId>,
    /// The key that the caller chose.
    pub key: &'a str,
    /// What was asked for (`KeyedHash::to_bytes`).
    pub fingerprint: &'a [u8],
    /// From when on somebody else may execute it, if nothing is known of this execution by then.
    pub locked_until: Timestamp,
    /// Until when it is remembered.
    pub expires_at: Timestamp,
}

/// What is known of an earlier request with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierRequest {
    /// What was asked for.
    pub fingerprint: Vec<u8>,
    /// Whether its change was made.
    pub done: bool,
    /// What it was answered with, sealed.
    pub answer: Option<Vec<u8>>,
}

/// Claims a request. Answers the earlier one with the same key instead, if there is one that counts: it is remembered
/// still, and it was done or is being worked on.
pub async fn claim(
    conn: &mut PgConnection,
    new: NewClaim<'_>,
    now: Timestamp,
) -> Result<Option<EarlierRequest>, Error> {
    let tenant = new.tenant.map(TenantId::as_str);
    let claimed = sqlx::query_scalar!(
        "INSERT INTO idempotent_requests AS it (claim, caller, tenant_id, key, fingerprint, locked_until, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (caller, tenant_id, key) DO UPDATE
         SET claim = excluded.claim, fingerprint = excluded.fingerprint, locked_until = excluded.locked_until,
             expires_at = excluded.expires_at, done = false, answer = NULL
         WHERE it.expires_at <= $8 OR (NOT it.done AND it.locked_until <= $8)
         RETURNING claim",
        new.claim,
        new.caller,
        tenant,
        new.key,
        new.fingerprint,
        new.locked_until.to_datetime(),
        new.expires_at.to_datetime(),
        now.to_datetime(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    if claimed.is_some() {
        return Ok(None);
    }
    let earlier = sqlx::query_as!(
        EarlierRequest,
        "SELECT fingerprint, done, answer FROM idempotent_requests
         WHERE caller = $1 AND tenant_id IS NOT DISTINCT FROM $2 AND key = $3",
        new.caller,
        tenant,
        new.key,
    )
    .fetch_optional(conn)
    .await?;
    // Gone between the two: it was released. The caller is told that it is being worked on, and tries again.
    Ok(Some(earlier.unwrap_or(EarlierRequest { fingerprint: new.fingerprint.to_vec(), done: false, answer: None })))
}

/// Notes, in the transaction of its change, that a request is done.
pub async fn mark_done(conn: &mut PgConnection, claim: i64) -> Result<(), Error> {
    sqlx::query!("UPDATE idempotent_requests SET done = true WHERE claim = $1", claim).execute(conn).await?;
    Ok(())
}

/// Keeps what a request was answered with; none: it can't be repeated.
pub async fn finish(conn: &mut PgConnection, claim: i64, answer: Option<&[u8]>) -> Result<(), Error> {
    sqlx::query!("UPDATE idempotent_requests SET done = true, answer = $2 WHERE claim = $1", claim, answer)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets a request that was not done: it may be tried again.
pub async fn release(conn: &mut PgConnection, claim: i64) -> Result<(), Error> {
    sqlx::query!("DELETE FROM idempotent_requests WHERE claim = $1 AND NOT done", claim).execute(conn).await?;
    Ok(())
}

/// Forgets up to `limit` requests whose time is over.
pub async fn forget_expired(conn: &mut PgConnection, now: Timestamp, limit: i64) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM idempotent_requests WHERE claim IN (
             SELECT claim FROM idempotent_requests WHERE expires_at <= $1
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        now.to_datetime(),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(())
}
