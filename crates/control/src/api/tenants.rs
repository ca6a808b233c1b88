//! `/v1/tenants`: customers of the deployment; operator keys only.

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use postrider_domain::{TenantId, Timestamp};
use postrider_postgres::tenants::{self, TenantRow};
use serde::Deserialize;

use super::{
    access::Authenticated,
    body::Body,
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{Problem, ReadProblem, WriteProblem},
    respond::{Created, Done, Found},
    schema::Time,
    state::ApiState,
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit},
};

/// The operations.
pub(crate) struct Tenants;

/// A tenant that is to be made, or its new name.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
struct TenantInput {
    /// Its name, for people; need not be unique.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
}

impl Example for TenantInput {
    fn example() -> Self {
        Self { name: "Acme Ltd".to_owned() }
    }
}

/// A customer of the deployment: owns endpoints, subscriptions and keys.
#[derive(Debug, Object)]
#[oai(example)]
struct Tenant {
    /// Its id: `ten_` and 26 letters and digits.
    id: String,
    /// Its name.
    name: String,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}

impl Example for Tenant {
    fn example() -> Self {
        Self {
            id: "ten_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            name: "Acme Ltd".to_owned(),
            created_at: Time(Timestamp::from_millis(1_769_860_800_000)),
            updated_at: Time(Timestamp::from_millis(1_769_860_800_000)),
        }
    }
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        }
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Tenants")]
impl Tenants {
    /// Make a tenant
    ///
    /// Operator keys only, scope `tenants:write`. Give the tenant a key of its own with `POST /v1/api-keys`.
    #[oai(path = "/tenants", method = "post", operation_id = "createTenant")]
    async fn create(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<TenantInput>,
    ) -> Result<Created<Tenant>, WriteProblem> {
        auth.operator(Scope::TenantsWrite)?;
        let name = validate::name("/name", &body.0.name)?;
        let actor = auth.0.actor();
        let row = manage::tenants::create(Edit::new(state, &actor, clock::now()), &name, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, ""))?;
        Ok(Created(row.into()))
    }

    /// List tenants
    ///
    /// Operator keys only, scope `tenants:read`. Oldest first.
    #[oai(path = "/tenants", method = "get", operation_id = "listTenants")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<Tenant>>, ReadProblem> {
        auth.operator(Scope::TenantsRead)?;
        let page = PageRequest::<TenantId>::parse(cursor.0.as_deref(), limit.0)?;
        let mut conn = state.pool.acquire().await?;
        let rows = tenants::list(&mut conn, page.after.as_ref(), page.rows_to_read()).await?;
        Ok(Found(page.page(rows, |row| row.id.to_string(), |row| Ok(row.into()))?))
    }

    /// Get a tenant
    ///
    /// Operator keys only, scope `tenants:read`.
    #[oai(path = "/tenants/:id", method = "get", operation_id = "getTenant")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The tenant's id.
        id: Path<String>,
    ) -> Result<Found<Tenant>, ReadProblem> {
        auth.operator(Scope::TenantsRead)?;
        let mut conn = state.pool.acquire().await?;
        let row = tenants::get(&mut conn, &parse_id(&id)?).await?;
        Ok(Found(row.ok_or_else(|| Problem::not_found("tenant", &id))?.into()))
    }

    /// Rename a tenant
    ///
    /// Operator keys only, scope `tenants:write`.
    #[oai(path = "/tenants/:id", method = "patch", operation_id = "updateTenant")]
    async fn update(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The tenant's id.
        id: Path<String>,
        body: Body<TenantInput>,
    ) -> Result<Found<Tenant>, WriteProblem> {
        auth.operator(Scope::TenantsWrite)?;
        let tenant = parse_id(&id)?;
        let name = validate::name("/name", &body.0.name)?;
        let actor = auth.0.actor();
        let row = manage::tenants::rename(Edit::new(state, &actor, clock::now()), &tenant, &name)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(row.into()))
    }

    /// Delete a tenant
    ///
    /// Operator keys only, scope `tenants:write`. Everything that it owns goes with it, keys included; what is
    /// on its way to its endpoints is not sent any more.
    #[oai(path = "/tenants/:id", method = "delete", operation_id = "deleteTenant")]
    async fn delete(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The tenant's id.
        id: Path<String>,
    ) -> Result<Done, ReadProblem> {
        auth.operator(Scope::TenantsWrite)?;
        let actor = auth.0.actor();
        manage::tenants::delete(Edit::new(state, &actor, clock::now()), &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }
}

fn parse_id(text: &str) -> Result<TenantId, Problem> {
    text.parse().map_err(|_| Problem::not_found("tenant", text))
}
