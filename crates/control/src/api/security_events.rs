//! `/v1/security-events`: what was refused because somebody tried what they may not.

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Query, types::Example};
use postrider_domain::{KeyId, Timestamp};
use postrider_postgres::security_events::{self, SecurityEventCount, SecurityEventFilter, SecurityEventRow};

use super::{
    access::Authenticated,
    openapi::Tag,
    pagination::{Page, PageRequest},
    parameter::parsed,
    problem::ReadProblem,
    respond::Found,
    schema::Time,
    state::ApiState,
};
use crate::{auth::Scope, security::SecurityKind};

/// The operations.
pub(crate) struct SecurityEvents;

/// What was refused: `bad_key` (a key that is unknown, revoked or expired), `locked_out` (an address that tried too many
/// of them), `scope_violation` (a key that lacks a scope, or is another tenant's), `address_blocked` (an address that
/// the key or its tenant does not allow), `ssrf_refused` (a URL at an address that deliveries may not reach),
/// `rate_limited` (more requests than a key's limit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "SecurityEventKind", rename_all = "snake_case")]
enum Kind {
    BadKey,
    LockedOut,
    ScopeViolation,
    AddressBlocked,
    SsrfRefused,
    RateLimited,
}

impl From<Kind> for SecurityKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::BadKey => Self::BadKey,
            Kind::LockedOut => Self::LockedOut,
            Kind::ScopeViolation => Self::ScopeViolation,
            Kind::AddressBlocked => Self::AddressBlocked,
            Kind::SsrfRefused => Self::SsrfRefused,
            Kind::RateLimited => Self::RateLimited,
        }
    }
}

/// Something refused, as often as it was within a minute.
#[derive(Debug, Object)]
#[oai(example)]
struct SecurityEvent {
    /// What was refused.
    kind: String,
    /// When it happened first.
    at: Time,
    /// When it happened last in that minute.
    last_at: Time,
    /// How often it happened in that minute.
    count: i64,
    /// Whose key or thing it was about, if that is known.
    tenant_id: Option<String>,
    /// The key, if it is one.
    key_id: Option<String>,
    /// Where the request came from; null also where there were too many addresses to list.
    remote_addr: Option<String>,
    /// What was refused, in words.
    detail: String,
}

impl Example for SecurityEvent {
    fn example() -> Self {
        Self {
            kind: "scope_violation".to_owned(),
            at: Time(Timestamp::from_millis(1_769_860_800_000)),
            last_at: Time(Timestamp::from_millis(1_769_860_807_000)),
            count: 3,
            tenant_id: Some("ten_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned()),
            key_id: Some("key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned()),
            remote_addr: Some("203.0.113.7".to_owned()),
            detail: "the API key lacks the scope 'endpoints:write'".to_owned(),
        }
    }
}

impl From<SecurityEventRow> for SecurityEvent {
    fn from(row: SecurityEventRow) -> Self {
        Self {
            kind: row.kind,
            at: Time(row.at),
            last_at: Time(row.last_at),
            count: row.count,
            tenant_id: row.tenant.map(|id| id.to_string()),
            key_id: row.key.map(|id| id.to_string()),
            remote_addr: row.remote_addr.map(|address| address.to_string()),
            detail: row.detail,
        }
    }
}

/// How often what was refused.
#[derive(Debug, Object)]
#[oai(example)]
struct SecurityCounts {
    /// Kind by kind, the most frequent first; what did not happen is left out.
    data: Vec<SecurityCount>,
}

impl Example for SecurityCounts {
    fn example() -> Self {
        Self { data: vec![SecurityCount::example()] }
    }
}

/// How often one kind of thing was refused.
#[derive(Debug, Object)]
#[oai(example)]
struct SecurityCount {
    /// What was refused.
    kind: String,
    /// How often.
    count: i64,
    /// From how many known addresses.
    addresses: i64,
    /// When last.
    last_at: Time,
}

impl Example for SecurityCount {
    fn example() -> Self {
        Self {
            kind: "bad_key".to_owned(),
            count: 4_211,
            addresses: 2,
            last_at: Time(Timestamp::from_millis(1_769_860_800_000)),
        }
    }
}

impl From<SecurityEventCount> for SecurityCount {
    fn from(count: SecurityEventCount) -> Self {
        Self { kind: count.kind, count: count.count, addresses: count.addresses, last_at: Time(count.last_at) }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Security",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id. An operator key without it sees what concerns everybody and nobody."
    )
)]
impl SecurityEvents {
    /// List security events
    ///
    /// Scope `security:read`. The latest minute first, about a second after they happened. A tenant's key sees what concerns
    /// its tenant; keys that nobody knows concern no tenant, and only operators see them.
    #[oai(path = "/security-events", method = "get", operation_id = "listSecurityEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those of this kind.
        kind: Query<Option<Kind>>,
        /// Only those from this address.
        remote_addr: Query<Option<String>>,
        /// Only those with this key.
        key_id: Query<Option<String>>,
        /// Only those that happened at or after this time, last.
        since: Query<Option<Time>>,
        /// Only those that happened before this time, first.
        until: Query<Option<Time>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<SecurityEvent>>, ReadProblem> {
        let tenant = auth.visible(Scope::SecurityRead)?;
        let filter = SecurityEventFilter {
            kind: kind.0.map(|kind| SecurityKind::from(kind).as_str()),
            remote_addr: parsed("remote_addr", remote_addr.0.as_deref())?,
            key: parsed::<KeyId>("key_id", key_id.0.as_deref())?,
            since: since.0.map(|time| time.0),
            until: until.0.map(|time| time.0),
        };
        let page = PageRequest::<i64>::parse(cursor.0.as_deref(), limit.0)?;
        let mut transaction = state.pool.begin_for(tenant).await?;
        let rows = security_events::list(&mut transaction, tenant, &filter, page.after, page.rows_to_read()).await?;
        transaction.commit().await?;
        Ok(Found(page.page(rows, |row| row.id.to_string(), |row| Ok(row.into()))?))
    }

    /// Count security events
    ///
    /// Scope `security:read`. How often what was refused, with the same filters as the list.
    #[oai(path = "/security-events/counts", method = "get", operation_id = "countSecurityEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn count(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those of this kind.
        kind: Query<Option<Kind>>,
        /// Only those from this address.
        remote_addr: Query<Option<String>>,
        /// Only those with this key.
        key_id: Query<Option<String>>,
        /// Only those that happened at or after this time, last.
        since: Query<Option<Time>>,
        /// Only those that happened before this time, first.
        until: Query<Option<Time>>,
    ) -> Result<Found<SecurityCounts>, ReadProblem> {
        let tenant = auth.visible(Scope::SecurityRead)?;
        let filter = SecurityEventFilter {
            kind: kind.0.map(|kind| SecurityKind::from(kind).as_str()),
            remote_addr: parsed("remote_addr", remote_addr.0.as_deref())?,
            key: parsed::<KeyId>("key_id", key_id.0.as_deref())?,
            since: since.0.map(|time| time.0),
            until: until.0.map(|time| time.0),
        };
        let mut transaction = state.pool.begin_for(tenant).await?;
        let counts = security_events::count(&mut transaction, tenant, &filter).await?;
        transaction.commit().await?;
        Ok(Found(SecurityCounts { data: counts.into_iter().map(Into::into).collect() }))
    }
}
