//! `/v1/api-keys`: the keys of a tenant.

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use postrider_domain::{KeyId, Timestamp};
use postrider_postgres::api_keys::{self, ApiKeyRow};
use serde::Deserialize;

use super::{
    access::Authenticated,
    body::Body,
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{Problem, ProblemKind, ReadProblem, WriteProblem},
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

/// The operations.
pub(crate) struct ApiKeys;

/// A key that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct ApiKeyInput {
    /// Its name, for people.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// What it may do: `*`, or some of `api-keys:read`, `api-keys:write`, `endpoints:read`, `endpoints:write`,
    /// `subscriptions:read`, `subscriptions:write`, `events:publish`, `deliveries:read`. None that the key you
    /// use lacks.
    #[oai(validator(min_items = 1, max_items = 20))]
    scopes: Vec<String>,
    /// When it stops working; never if not given.
    expires_at: Option<Time>,
}

impl Example for ApiKeyInput {
    fn example() -> Self {
        Self {
            name: "order service".to_owned(),
            scopes: vec!["events:publish".to_owned(), "deliveries:read".to_owned()],
            expires_at: Some(Time(Timestamp::from_millis(1_801_396_800_000))),
        }
    }
}

/// An API key, without its text.
#[derive(Debug, Object)]
#[oai(example)]
struct ApiKey {
    /// Its id: `key_` and 26 letters and digits.
    id: String,
    /// Its name.
    name: String,
    /// The public part of its text, to tell keys apart.
    prefix: String,
    /// What it may do.
    scopes: Vec<String>,
    /// When it was made.
    created_at: Time,
    /// When it stops working, if ever.
    expires_at: Option<Time>,
    /// When it was revoked, if it was.
    revoked_at: Option<Time>,
    /// When it was last used, to the minute.
    last_used_at: Option<Time>,
}

impl Example for ApiKey {
    fn example() -> Self {
        Self {
            id: "key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            name: "order service".to_owned(),
            prefix: "pr_7f3k9m2q5t8w".to_owned(),
            scopes: vec!["events:publish".to_owned(), "deliveries:read".to_owned()],
            created_at: Time(Timestamp::from_millis(1_769_860_800_000)),
            expires_at: Some(Time(Timestamp::from_millis(1_801_396_800_000))),
            revoked_at: None,
            last_used_at: None,
        }
    }
}

impl From<ApiKeyRow> for ApiKey {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            prefix: format!("pr_{}", row.prefix),
            scopes: row.scopes,
            created_at: Time(row.created_at),
            expires_at: row.expires_at.map(Time),
            revoked_at: row.revoked_at.map(Time),
            last_used_at: row.last_used_at.map(Time),
        }
    }
}

/// A key just made, with its text.
#[derive(Debug, Object)]
#[oai(example)]
struct CreatedApiKey {
    /// The key.
    #[oai(flatten)]
    api_key: ApiKey,
    /// Its text, to be sent as `Authorization: Bearer …`. Shown in this answer only: keep it safe.
    key: String,
}

impl Example for CreatedApiKey {
    fn example() -> Self {
        Self {
            api_key: ApiKey::example(),
            key: "pr_7f3k9m2q5t8w_pQ4mY0cX8mJ6m0q0vQ0c1n3b2xk9zFhTgS5uWw7ErLd".to_owned(),
        }
    }
}

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
        let key: KeyId = id.parse().map_err(|_| Problem::not_found("API key", &id))?;
        let actor = auth.0.actor();
        manage::api_keys::revoke(Edit::new(state, &actor, clock::now()), Some(tenant), &key)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }
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

    fn caller(scopes: Vec<Scope>) -> Caller {
        Caller { key: KeyId::from_trusted("key_1"), key_tenant: None, tenant: None, scopes, remote_addr: None }
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
