//! `/v1/tenants`: customers of the deployment; operator keys only.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use postrider_domain::TenantId;
use postrider_postgres::{endpoints, tenant_usage, tenants};

use super::{
    access::Authenticated,
    body::Body,
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{Problem, ReadProblem, WriteProblem},
    respond::{Created, Done, Found},
    state::ApiState,
    tenant_types::{SuspensionInput, Tenant, TenantInput, TenantPatchInput, TenantUsage, held_until},
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit},
};

/// The longest reason of a suspension.
const MAX_REASON_CHARACTERS: usize = 500;

/// The operations.
pub(crate) struct Tenants;

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
        let quotas = body.0.quotas.unwrap_or_default().check()?;
        let actor = auth.0.actor();
        let row = manage::tenants::create(Edit::new(state, &actor, clock::now()), &name, quotas, &mut clock::rng())
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

    /// Change a tenant
    ///
    /// Operator keys only, scope `tenants:write`. Its name and quotas.
    #[oai(path = "/tenants/:id", method = "patch", operation_id = "updateTenant")]
    async fn update(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The tenant's id.
        id: Path<String>,
        body: Body<TenantPatchInput>,
    ) -> Result<Found<Tenant>, WriteProblem> {
        auth.operator(Scope::TenantsWrite)?;
        let tenant = parse_id(&id)?;
        let patch = body.0.check()?;
        let actor = auth.0.actor();
        let row = manage::tenants::update(Edit::new(state, &actor, clock::now()), &tenant, patch)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(row.into()))
    }

    /// Suspend a tenant
    ///
    /// Operator keys only, scope `tenants:write`. Its keys are refused (`tenant-suspended`) from then on, and what comes
    /// for its endpoints is held, within a second or so. Nothing is lost: resume it, and what was held is delivered.
    #[oai(path = "/tenants/:id/suspend", method = "post", operation_id = "suspendTenant")]
    async fn suspend(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The tenant's id.
        id: Path<String>,
        body: Body<SuspensionInput>,
    ) -> Result<Found<Tenant>, WriteProblem> {
        auth.operator(Scope::TenantsWrite)?;
        let tenant = parse_id(&id)?;
        let reason = body.0.reason.trim().to_owned();
        if reason.is_empty() {
            return Err(Problem::field("/reason", "must not be empty").into());
        }
        validate::line("/reason", &reason, MAX_REASON_CHARACTERS)?;
        let actor = auth.0.actor();
        let row = manage::tenants::suspend(Edit::new(state, &actor, clock::now()), &tenant, reason)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(row.into()))
    }

    /// End a tenant's suspension
    ///
    /// Operator keys only, scope `tenants:write`. Its keys work again, and what was held is delivered.
    #[oai(path = "/tenants/:id/resume", method = "post", operation_id = "resumeTenant")]
    async fn resume(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The tenant's id.
        id: Path<String>,
    ) -> Result<Found<Tenant>, ReadProblem> {
        auth.operator(Scope::TenantsWrite)?;
        let actor = auth.0.actor();
        let row = manage::tenants::resume(Edit::new(state, &actor, clock::now()), &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(row.into()))
    }

    /// See what a tenant uses of its quotas
    ///
    /// Scope `usage:read`. Of the key's tenant; an operator key names one.
    #[oai(
        path = "/usage",
        method = "get",
        operation_id = "getUsage",
        request_header(
            name = "Postrider-Tenant",
            ty = "Option<String>",
            description = "The tenant's id: needed with an operator key, not with a tenant's own."
        )
    )]
    async fn usage(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
    ) -> Result<Found<TenantUsage>, ReadProblem> {
        let tenant = auth.tenant(Scope::UsageRead)?;
        let now = clock::now();
        let mut conn = state.pool.tenant(tenant).await?;
        let row = tenants::get(&mut conn, tenant).await?;
        let row = row.ok_or_else(|| Problem::not_found("tenant", tenant.as_str()))?;
        Ok(Found(TenantUsage {
            quotas: row.quotas.into(),
            endpoints: endpoints::count(&mut conn, tenant).await?,
            deliveries_today: tenant_usage::get(&mut conn, tenant, now.to_datetime().date_naive()).await?,
            held_until: held_until(row.held_until, now),
        }))
    }

    /// Delete a tenant
    ///
    /// Operator keys only, scope `tenants:write`. Everything that it owns goes with it, keys included; what is
    /// on its way to its endpoints is not sent any more. The log of its deliveries can't be read any more, and goes with
    /// the log's retention.
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
