//! `/v1/api-keys`: the keys of a tenant.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use postrider_domain::{KeyId, Timestamp};
use postrider_postgres::{api_key_usage, api_keys};

use super::{
    access::Authenticated,
    api_key_types::{
        ApiKey, ApiKeyInput, CreatedApiKey, DEFAULT_GRACE_SECONDS, KeyUsageEntry, KeyUsageList, MAX_GRACE_SECONDS,
        RotationInput, networks, rate_limit,
    },
    body::Body,
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{ChangeProblem, Problem, ProblemKind, ReadProblem, WriteProblem},
    respond::{Created, Done, Found},
    schema::Time,
    state::ApiState,
    validate,
};
use crate::{
    auth::{Caller, Scope},
    clock,
    manage::{self, Edit, api_keys::NewApiKey},
};

/// How many days of usage are told at most, and how many entries.
const MAX_USAGE_DAYS: u32 = 90;
const DEFAULT_USAGE_DAYS: u32 = 30;
const MAX_USAGE_ENTRIES: i64 = 5_000;

/// The operations.
pub(crate) struct ApiKeys;

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::ApiKeys",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl ApiKeys {
    /// Make an API key
    ///
    /// Scope `api-keys:write`. The answer is the only one that shows the key's text.
    #[oai(path = "/api-keys", method = "post", operation_id = "createApiKey")]
    async fn create(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<ApiKeyInput>,
    ) -> Result<Created<CreatedApiKey>, WriteProblem> {
        let tenant = auth.tenant(Scope::ApiKeysWrite)?.clone();
        let now = clock::now();
        let new = NewApiKey {
            tenant: Some(tenant),
            name: validate::name("/name", &body.0.name)?,
            scopes: grantable_scopes(&auth.0, &body.0.scopes)?,
            allowed_cidrs: networks(body.0.allowed_cidrs.as_deref().unwrap_or_default())?,
            rate_limit: body.0.rate_limit.as_ref().map(rate_limit).transpose()?,
            expires_at: body.0.expires_at.map(|time| future(time, now)).transpose()?,
        };
        let actor = auth.0.actor();
        let (row, text) = manage::api_keys::create(Edit::new(state, &actor, now), new, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, ""))?;
        Ok(Created(CreatedApiKey { api_key: row.into(), key: text.to_string() }))
    }

    /// List API keys
    ///
    /// Scope `api-keys:read`. Oldest first; revoked ones too. Never shows a key's text.
    #[oai(path = "/api-keys", method = "get", operation_id = "listApiKeys")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<ApiKey>>, ReadProblem> {
        let tenant = auth.tenant(Scope::ApiKeysRead)?;
        let page = PageRequest::<KeyId>::parse(cursor.0.as_deref(), limit.0)?;
        let mut conn = state.pool.tenant(tenant).await?;
        let rows = api_keys::list(&mut conn, Some(tenant), page.after.as_ref(), page.rows_to_read()).await?;
        Ok(Found(page.page(rows, |row| row.id.to_string(), |row| Ok(row.into()))?))
    }

    /// Get an API key
    ///
    /// Scope `api-keys:read`. Never shows its text.
    #[oai(path = "/api-keys/:id", method = "get", operation_id = "getApiKey")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The key's id.
        id: Path<String>,
    ) -> Result<Found<ApiKey>, ReadProblem> {
        let tenant = auth.tenant(Scope::ApiKeysRead)?;
        let mut conn = state.pool.tenant(tenant).await?;
        let row = api_keys::get(&mut conn, Some(tenant), &parse_id(&id)?).await?;
        Ok(Found(row.ok_or_else(|| Problem::not_found("API key", &id))?.into()))
    }

    /// See what an API key was used for
    ///
    /// Scope `api-keys:read`. How many requests, by day and route.
    #[oai(path = "/api-keys/:id/usage", method = "get", operation_id = "getApiKeyUsage")]
    async fn usage(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The key's id.
        id: Path<String>,
        /// How many days, today among them: 1 to 90, 30 if not given.
        days: Query<Option<u32>>,
    ) -> Result<Found<KeyUsageList>, ReadProblem> {
        let tenant = auth.tenant(Scope::ApiKeysRead)?;
        let days = days.0.unwrap_or(DEFAULT_USAGE_DAYS);
        if !(1..=MAX_USAGE_DAYS).contains(&days) {
            let detail = format!("days must be 1 to {MAX_USAGE_DAYS}");
            return Err(Problem::new(ProblemKind::BadRequest, detail).at("days").into());
        }
        let key = parse_id(&id)?;
        let since = clock::now().to_datetime().date_naive() - chrono::Days::new(u64::from(days - 1));
        let mut conn = state.pool.tenant(tenant).await?;
        api_keys::get(&mut conn, Some(tenant), &key).await?.ok_or_else(|| Problem::not_found("API key", &id))?;
        let entries = api_key_usage::list(&mut conn, Some(tenant), &key, since, MAX_USAGE_ENTRIES).await?;
        let data = entries.into_iter().map(|(day, route, requests, refused)| KeyUsageEntry {
            day: day.to_string(),
            route,
            requests,
            refused,
        });
        Ok(Found(KeyUsageList { data: data.collect() }))
    }

    /// Rotate an API key
    ///
    /// Scope `api-keys:write`. Gives the key a new text, with the same id, scopes and limits; both texts work until the
    /// grace period is over. The answer is the only one that shows the new text. A key can be rotated only with one that
    /// has all of its scopes.
    #[oai(path = "/api-keys/:id/rotate", method = "post", operation_id = "rotateApiKey")]
    async fn rotate(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The key's id.
        id: Path<String>,
        body: Body<RotationInput>,
    ) -> Result<Found<CreatedApiKey>, ChangeProblem> {
        let tenant = auth.tenant(Scope::ApiKeysWrite)?;
        let key = parse_id(&id)?;
        let grace = body.0.grace_seconds.unwrap_or(DEFAULT_GRACE_SECONDS);
        if grace > MAX_GRACE_SECONDS {
            return Err(Problem::field("/grace_seconds", format!("must be at most {MAX_GRACE_SECONDS}")).into());
        }
        let row = {
            let mut conn = state.pool.tenant(tenant).await?;
            api_keys::get(&mut conn, Some(tenant), &key).await?.ok_or_else(|| Problem::not_found("API key", &id))?
        };
        if let Some(lacking) = row.scopes.iter().find(|scope| !scope.parse().is_ok_and(|scope| auth.0.may(scope))) {
            let detail = format!("the API key in use lacks '{lacking}', which the key to be rotated has");
            return Err(Problem::new(ProblemKind::Forbidden, detail).into());
        }
        let (actor, grace) = (auth.0.actor(), Duration::from_secs(grace.into()));
        let edit = Edit::new(state, &actor, clock::now());
        let (row, text) = manage::api_keys::rotate(edit, Some(tenant), &key, grace, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(CreatedApiKey { api_key: row.into(), key: text.to_string() }))
    }

    /// Revoke an API key
    ///
    /// Scope `api-keys:write`. It stops working at once, and for good; it stays in the list.
    #[oai(path = "/api-keys/:id", method = "delete", operation_id = "revokeApiKey")]
    async fn revoke(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The key's id.
        id: Path<String>,
    ) -> Result<Done, ReadProblem> {
        let tenant = auth.tenant(Scope::ApiKeysWrite)?;
        let key = parse_id(&id)?;
        let actor = auth.0.actor();
        manage::api_keys::revoke(Edit::new(state, &actor, clock::now()), Some(tenant), &key)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }
}

fn parse_id(text: &str) -> Result<KeyId, Problem> {
    text.parse().map_err(|_| Problem::not_found("API key", text))
}

/// The scopes of a tenant's key: known ones, that a tenant can use and the caller holds.
fn grantable_scopes(caller: &Caller, texts: &[String]) -> Result<Vec<Scope>, Problem> {
    if texts.is_empty() {
        return Err(Problem::field("/scopes", "needs at least one scope"));
    }
    let mut scopes = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let field = format!("/scopes/{index}");
        let scope: Scope = text.parse().map_err(|error| Problem::field(&field, format!("{error}")))?;
        if scope.is_operators() {
            return Err(Problem::field(field, format!("'{scope}' is for operator keys only")));
        }
        if !caller.may(scope) {
            let detail = format!("the API key in use lacks '{scope}', and can't grant it");
            return Err(Problem::new(ProblemKind::Forbidden, detail).at(field));
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

fn future(time: Time, now: Timestamp) -> Result<Timestamp, Problem> {
    if time.0 > now { Ok(time.0) } else { Err(Problem::field("/expires_at", "is in the past")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Credential;

    fn caller(scopes: Vec<Scope>) -> Caller {
        Caller {
            credential: Credential::ApiKey(KeyId::from_trusted("key_1")),
            key_tenant: None,
            tenant: None,
            publish_per_second: None,
            scopes,
            remote_addr: None,
        }
    }

    #[test]
    fn a_key_grants_no_more_than_it_holds() {
        let grant = |caller: &Caller, scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
            grantable_scopes(caller, &scopes).map_err(|problem| problem.kind())
        };
        let narrow = caller(vec![Scope::ApiKeysWrite, Scope::EndpointsRead]);
        assert_eq!(grant(&narrow, &["endpoints:read", "endpoints:read"]), Ok(vec![Scope::EndpointsRead]));
        assert_eq!(grant(&narrow, &["endpoints:write"]), Err(ProblemKind::Forbidden));
        assert_eq!(grant(&narrow, &["*"]), Err(ProblemKind::Forbidden));
        let wide = caller(vec![Scope::All]);
        assert_eq!(grant(&wide, &["*"]), Ok(vec![Scope::All]));
        assert_eq!(grant(&wide, &["tenants:write"]), Err(ProblemKind::Validation));
        assert_eq!(grant(&wide, &["event-types:write"]), Err(ProblemKind::Validation));
        assert_eq!(grant(&wide, &["event-types:read"]), Ok(vec![Scope::EventTypesRead]));
        assert_eq!(grant(&wide, &["nonsense"]), Err(ProblemKind::Validation));
        assert_eq!(grant(&wide, &[]), Err(ProblemKind::Validation));
    }
}
