//! Who may do what: the API key of a request, looked up, checked and held against an operation's scope.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use poem::{Addr, Request};
use poem_openapi::{SecurityScheme, auth::Bearer};
use postrider_domain::{TenantId, Timestamp};
use postrider_postgres::{PgConnection, api_keys, tenants};

use super::{
    idempotency::KeyedRequest,
    ip_rules,
    problem::{Problem, ProblemKind},
    state::ApiState,
};
use crate::{
    auth::{Caller, KeyRefused, KeyText, Scope, check_key},
    clock,
    security::{Origin, SecurityKind},
};

/// The header by which an operator key names the tenant.
pub(crate) const TENANT_HEADER: &str = "Postrider-Tenant";

/// How exactly a key's last use is known.
const LAST_USE_PRECISION: Duration = Duration::from_mins(1);

/// An API key: `Authorization: Bearer pr_…`.
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
            Origin { tenant: caller.tenant.clone(), key: Some(caller.key.clone()), remote_addr: caller.remote_addr };
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
    let named = named_tenant(request)?;
    let now = clock::now();
    let caller = find_caller(state, &bearer.token, named, remote_ip(request), now).await?;
    if let Some(asker) = request.data::<Asker>() {
        asker.is(&caller);
    }
    if let Some(keyed) = request.data::<KeyedRequest>() {
        keyed.claim(state, &caller, now).await?;
    }
    Ok(caller)
}

async fn find_caller(
    state: &ApiState,
    token: &str,
    named: Option<TenantId>,
    remote_addr: Option<IpAddr>,
    now: Timestamp,
) -> Result<Caller, Problem> {
    let refused = |why: KeyRefused| Problem::new(ProblemKind::Unauthenticated, why.to_string());
    let key = KeyText::parse(token).ok_or_else(|| refused(KeyRefused::Unknown))?;
    let mut conn = state.pool.acquire().await?;
    let row = api_keys::find_by_prefix(&mut conn, key.prefix()).await?.ok_or_else(|| refused(KeyRefused::Unknown))?;
    check_key(&key, &row, &state.key_ring, now).map_err(refused)?;
    if row.last_used_at.is_none_or(|last| now.since(last) >= LAST_USE_PRECISION) {
        api_keys::touch(&mut conn, &row.id, now).await?;
    }
    if let Some(tenant) = &row.tenant {
        ip_rules::admit(&mut conn, state, tenant, &row.id, remote_addr, now).await?;
    }
    let tenant = effective_tenant(&mut conn, row.tenant.as_ref(), named).await?;
    Ok(Caller {
        key: row.id,
        key_tenant: row.tenant,
        tenant,
        scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
        remote_addr,
    })
}

/// The tenant that a request is about: a tenant's key names its own at most, an operator's any that exists.
async fn effective_tenant(
    conn: &mut PgConnection,
    of_key: Option<&TenantId>,
    named: Option<TenantId>,
) -> Result<Option<TenantId>, Problem> {
    match (of_key, named) {
        (None, None) => Ok(None),
        (None, Some(named)) => match tenants::get(conn, &named).await? {
            Some(_) => Ok(Some(named)),
            None => Err(Problem::not_found("tenant", named.as_str()).at(TENANT_HEADER)),
        },
        (Some(own), None) => Ok(Some(own.clone())),
        (Some(own), Some(named)) if *own == named => Ok(Some(named)),
        (Some(_), Some(_)) => {
            Err(Problem::new(ProblemKind::Forbidden, "the API key belongs to another tenant").at(TENANT_HEADER))
        }
    }
}

fn named_tenant(request: &Request) -> Result<Option<TenantId>, Problem> {
    let Some(value) = request.headers().get(TENANT_HEADER) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map(Some).map_err(|error| Problem::new(ProblemKind::BadRequest, format!("{error}")).at(TENANT_HEADER))
}

fn remote_ip(request: &Request) -> Option<IpAddr> {
    match &request.remote_addr().0 {
        Addr::SocketAddr(address) => Some(address.ip()),
        _ => None,
    }
}
