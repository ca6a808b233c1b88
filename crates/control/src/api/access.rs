//! Who may do what: the API key of a request, looked up, checked and held against an operation's scope.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use poem::{Addr, PathPattern, Request};
use poem_openapi::{SecurityScheme, auth::Bearer};
use postrider_domain::{KeyId, TenantId, Timestamp};
use postrider_postgres::{
    PgConnection,
    api_keys::{self, ApiKeyRow},
    standing::{self, Standing, TenantStanding},
};
use serde_json::json;

use super::{
    idempotency::KeyedRequest,
    ip_rules,
    problem::{Problem, ProblemKind},
    rate_headers::RateNote,
    state::ApiState,
};
use crate::{
    audit::{Actor, Change, record},
    auth::{
        Caller, Credential, KeyRefused, KeyText, Scope,
        access::Access,
        check_key,
        origin::is_in,
        rate::RateLimit,
        token::{TokenRefused, Tokens},
    },
    clock,
    security::{Origin, SecurityKind},
};

/// The header by which an operator key names the tenant.
pub(crate) const TENANT_HEADER: &str = "Postrider-Tenant";

/// The header in which proxies say whom they speak for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How exactly a key's last use is known.
const LAST_USE_PRECISION: Duration = Duration::from_mins(1);

/// An API key, `Authorization: Bearer pr_…`, or a token (JWT) of the issuer that the operator configured. What an
/// operation needs of it is the scope that its description begins with.
#[derive(SecurityScheme)]
#[oai(rename = "apiKey", ty = "bearer", bearer_format = "pr_<prefix>_<secret>", checker = "authenticate")]
pub(crate) struct Authenticated(pub Caller);

impl Authenticated {
    /// The tenant that the request is about, if the key may do what `scope` covers.
    pub fn tenant(&self, scope: Scope) -> Result<&TenantId, Problem> {
        self.require(scope)?;
        self.0.tenant.as_ref().ok_or_else(|| {
            Problem::new(
                ProblemKind::BadRequest,
                format!("an operator key works on a tenant's things only with the header '{TENANT_HEADER}: ten_…'"),
            )
            .at(TENANT_HEADER)
        })
    }

    /// Whether the key is an operator's and may do what `scope` covers.
    pub fn operator(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.is_operator() {
            self.require(scope)
        } else {
            let detail = format!("what '{scope}' covers needs an operator key (`postrider keys create`)");
            Err(Problem::new(ProblemKind::Forbidden, detail).noting(SecurityKind::ScopeViolation))
        }
    }

    /// Whether the key, an operator's or a tenant's, may see what `scope` covers of the whole deployment.
    pub fn deployment(&self, scope: Scope) -> Result<(), Problem> {
        self.require(scope)
    }

    /// The tenant whose things the key may see, if it may do what `scope` covers; none: an operator's that names no
    /// tenant, which sees everybody's.
    pub fn visible(&self, scope: Scope) -> Result<Option<&TenantId>, Problem> {
        self.require(scope)?;
        Ok(self.0.tenant.as_ref())
    }

    /// Whether the tenant may publish `count` events now. To be asked once the events are known to be good.
    pub fn may_publish(&self, access: &Access, count: usize, now: Timestamp) -> Result<(), Problem> {
        let (Some(tenant), Some(per_second)) = (&self.0.tenant, self.0.publish_per_second) else { return Ok(()) };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let standing = access.take_events(tenant, count, u32::try_from(per_second).unwrap_or(u32::MAX), now);
        standing.retry_after.map_or(Ok(()), |wait| {
            let detail = format!("the tenant may publish {per_second} events in a second; wait, then send them again");
            Err(Problem::new(ProblemKind::RateLimited, detail).retry_after(wait))
        })
    }

    fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.may(scope) {
            Ok(())
        } else {
            let detail = format!("the API key lacks the scope '{scope}'");
            Err(Problem::new(ProblemKind::Forbidden, detail).noting(SecurityKind::ScopeViolation))
        }
    }
}

/// Who a request turned out to come from, for what is noted of it once it is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Asker(Arc<OnceLock<Origin>>);

impl Asker {
    fn is(&self, caller: &Caller) {
        let origin =
            Origin { tenant: caller.tenant.clone(), key: caller.key().cloned(), remote_addr: caller.remote_addr };
        // A request has one caller.
        let _ = self.0.set(origin);
    }

    /// As far as it is known.
    pub(super) fn origin(&self) -> Origin {
        self.0.get().cloned().unwrap_or_default()
    }
}

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let state = request.data::<ApiState>().expect("the server adds its state to every request");
    let now = clock::now();
    let remote_addr = remote_ip(request, &state.access);
    let asking = Asking {
        state,
        named: named_tenant(request)?,
        remote_addr,
        route: route(request),
        rate: request.data::<RateNote>().cloned().unwrap_or_default(),
        now,
    };
    let caller = asking.caller(&bearer.token).await?;
    if let Some(asker) = request.data::<Asker>() {
        asker.is(&caller);
    }
    if let Some(keyed) = request.data::<KeyedRequest>() {
        keyed.claim(state, &caller, now).await?;
    }
    Ok(caller)
}

/// A request whose caller is to be found.
struct Asking<'a> {
    state: &'a ApiState,
    named: Option<TenantId>,
    remote_addr: Option<IpAddr>,
    route: Arc<str>,
    rate: RateNote,
    now: Timestamp,
}

impl Asking<'_> {
    async fn caller(self, token: &str) -> Result<Caller, Problem> {
        if let Some(wait) = self.state.access.locked_out(self.remote_addr, self.now) {
            self.note(SecurityKind::LockedOut, None, "a key was tried");
            let detail = "too many keys that don't work came from this address; wait, and use one that does";
            return Err(Problem::new(ProblemKind::LockedOut, detail).retry_after(wait));
        }
        let Some(key) = KeyText::parse(token) else {
            return match self.state.access.tokens().filter(|_| Tokens::is_token(token)) {
                Some(tokens) => self.bearer(tokens, token).await,
                None => Err(self.bad_key(None, &KeyRefused::Unknown.to_string()).await?),
            };
        };
        let mut conn = self.state.pool.acquire().await?;
        let Some((row, found)) = standing::of_key(&mut conn, key.prefix()).await? else {
            // Not known here, it may have been made since: nobody is told that while the database is behind.
            standing(&mut conn, None).await?;
            drop(conn);
            return Err(self.bad_key(None, &KeyRefused::Unknown.to_string()).await?);
        };
        drop(conn);
        let own = believed(found)?;
        if let Err(why) = check_key(&key, &row, &self.state.key_ring, self.now) {
            return Err(self.bad_key(Some(&row), &why.to_string()).await?);
        }
        let let_through = self.let_through(&row, own.as_ref());
        self.state.access.usage().note(&row.id, &self.route, let_through.is_err(), self.now);
        let_through?;
        self.identify(row, own).await
    }

    /// The bearer of another issuer's token.
    async fn bearer(self, tokens: &Tokens, text: &str) -> Result<Caller, Problem> {
        let token = match tokens.verify(text, self.now).await {
            Ok(token) => token,
            Err(error @ TokenRefused::NoKeys) => {
                return Err(Problem::new(ProblemKind::Unavailable, format!("{error}; try again, or use an API key")));
            }
            Err(why) => return Err(self.bad_key(None, &why.to_string()).await?),
        };
        let own = standing(&mut *self.state.pool.acquire().await?, token.tenant.as_ref()).await?;
        if token.tenant.is_some() && own.is_none() {
            return Err(Problem::new(ProblemKind::Forbidden, "the token's tenant does not exist here"));
        }
        if own.as_ref().is_some_and(|tenant| tenant.is_suspended) {
            return Err(suspended());
        }
        if let Some(tenant) = &own {
            ip_rules::admit(self.state, tenant, None, self.remote_addr, self.now)?;
        }
        self.names_no_other(own.as_ref(), None)?;
        let tenant = effective_tenant(self.state, own, self.named).await?;
        Ok(Caller {
            credential: Credential::Token(token.subject),
            key_tenant: token.tenant,
            publish_per_second: tenant.as_ref().and_then(|tenant| tenant.publish_per_second),
            tenant: tenant.map(|tenant| tenant.id),
            scopes: token.scopes,
            remote_addr: self.remote_addr,
        })
    }

    /// Whether a key that works may be used here and now.
    fn let_through(&self, row: &ApiKeyRow, tenant: Option<&TenantStanding>) -> Result<(), Problem> {
        if !row.allowed_cidrs.is_empty() && !is_in(&row.allowed_cidrs, self.remote_addr) {
            self.note(SecurityKind::AddressBlocked, Some(row), "the key's allowed_cidrs have no such address");
            let detail = "the API key may not be used from this address: its allowed_cidrs say from where";
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        if let Some((requests, period_seconds)) = row.rate_limit {
            let limit = RateLimit { requests, period_seconds };
            let standing = self.state.access.take(&row.id, limit, self.now);
            self.rate.set(standing);
            if let Some(wait) = standing.retry_after {
                let told = standing.limit.requests;
                self.note(SecurityKind::RateLimited, Some(row), "over the key's limit");
                let detail = format!("the API key may make {told} requests in {period_seconds} s; wait, then go on");
                return Err(Problem::new(ProblemKind::RateLimited, detail).retry_after(wait));
            }
        }
        if tenant.is_some_and(|tenant| tenant.is_suspended) {
            return Err(suspended());
        }
        Ok(())
    }

    async fn identify(self, row: ApiKeyRow, own: Option<TenantStanding>) -> Result<Caller, Problem> {
        if row.last_used_at.is_none_or(|last| self.now.since(last) >= LAST_USE_PRECISION) {
            api_keys::touch(&mut *self.state.pool.acquire().await?, &row.id, self.now).await?;
        }
        if let Some(tenant) = &own {
            ip_rules::admit(self.state, tenant, Some(&row.id), self.remote_addr, self.now)?;
        }
        self.names_no_other(own.as_ref(), Some(&row.id))?;
        let tenant = effective_tenant(self.state, own, self.named).await?;
        Ok(Caller {
            credential: Credential::ApiKey(row.id),
            key_tenant: row.tenant,
            publish_per_second: tenant.as_ref().and_then(|tenant| tenant.publish_per_second),
            tenant: tenant.map(|tenant| tenant.id),
            scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            remote_addr: self.remote_addr,
        })
    }

    /// Refuses a tenant's key that names another tenant, and notes it.
    fn names_no_other(&self, own: Option<&TenantStanding>, key: Option<&KeyId>) -> Result<(), Problem> {
        let (Some(own), Some(named)) = (own, &self.named) else { return Ok(()) };
        if own.id == *named {
            return Ok(());
        }
        let origin = Origin { tenant: Some(own.id.clone()), key: key.cloned(), remote_addr: self.remote_addr };
        self.state.security.note(self.now, SecurityKind::ScopeViolation, origin, "it named another tenant");
        Err(Problem::new(ProblemKind::Forbidden, "the API key belongs to another tenant").at(TENANT_HEADER))
    }

    /// What a key that does not work is answered with; the address may be locked out because of it.
    async fn bad_key(&self, row: Option<&ApiKeyRow>, why: &str) -> Result<Problem, Problem> {
        self.note(SecurityKind::BadKey, row, why);
        if let Some(address) = self.remote_addr
            && self.state.access.bad_key(Some(address), self.now)
        {
            tracing::warn!(%address, "an address is locked out after too many keys that don't work");
            self.note(SecurityKind::LockedOut, row, "too many keys that don't work");
            let address = address.to_string();
            let change = Change {
                tenant: row.and_then(|row| row.tenant.as_ref()),
                action: "access.lockout",
                entity_id: &address,
                before: None,
                after: Some(json!({ "reason": "too many keys that don't work" })),
            };
            let actor = Actor { remote_addr: self.remote_addr, ..Actor::postrider() };
            let mut transaction = self.state.pool.begin().await?;
            record(&mut transaction, &actor, self.now, change).await?;
            transaction.commit().await?;
        }
        Ok(Problem::new(ProblemKind::Unauthenticated, why))
    }

    fn note(&self, kind: SecurityKind, row: Option<&ApiKeyRow>, detail: &str) {
        let origin = Origin {
            tenant: row.and_then(|row| row.tenant.clone()),
            key: row.map(|row| row.id.clone()),
            remote_addr: self.remote_addr,
        };
        self.state.security.note(self.now, kind, origin, detail);
    }
}

fn suspended() -> Problem {
    let detail = "the tenant is suspended: what comes for its endpoints is held; ask the operator";
    Problem::new(ProblemKind::TenantSuspended, detail)
}

/// What a key is used for, as its usage names it.
fn route(request: &Request) -> Arc<str> {
    let path = request.data::<PathPattern>().map_or("", |pattern| &pattern.0);
    format!("{} {path}", request.method()).into()
}

/// How a caller's tenant stands, unless nobody can be believed.
async fn standing(conn: &mut PgConnection, tenant: Option<&TenantId>) -> Result<Option<TenantStanding>, Problem> {
    believed(standing::get(conn, tenant).await?)
}

fn believed(standing: Standing) -> Result<Option<TenantStanding>, Problem> {
    if standing.is_behind {
        let detail = "the database was restored from an older backup, so that nobody's key can be believed until the \
                      operator has run `postrider config republish --new-epoch`; try again later";
        return Err(Problem::new(ProblemKind::Unavailable, detail));
    }
    Ok(standing.tenant)
}

/// The tenant that a request is about: a tenant's key's own, or the one that an operator names, which must exist.
async fn effective_tenant(
    state: &ApiState,
    own: Option<TenantStanding>,
    named: Option<TenantId>,
) -> Result<Option<TenantStanding>, Problem> {
    let Some(named) = named.filter(|_| own.is_none()) else { return Ok(own) };
    match standing(&mut *state.pool.acquire().await?, Some(&named)).await? {
        Some(tenant) => Ok(Some(tenant)),
        None => Err(Problem::not_found("tenant", named.as_str()).at(TENANT_HEADER)),
    }
}

fn named_tenant(request: &Request) -> Result<Option<TenantId>, Problem> {
    let Some(value) = request.headers().get(TENANT_HEADER) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map(Some).map_err(|error| Problem::new(ProblemKind::BadRequest, format!("{error}")).at(TENANT_HEADER))
}

/// Where a request comes from, through the proxies that are trusted.
fn remote_ip(request: &Request, access: &Access) -> Option<IpAddr> {
    let peer = match &request.remote_addr().0 {
        Addr::SocketAddr(address) => Some(address.ip()),
        _ => None,
    };
    let forwarded = request.headers().get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    access.caller_address(peer, forwarded)
}
