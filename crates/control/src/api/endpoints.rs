//! `/v1/endpoints`: where events are delivered.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use postrider_domain::EndpointId;
use postrider_postgres::endpoints;

use super::{
    access::Authenticated,
    body::Body,
    endpoint_types::{CreatedEndpoint, Endpoint, EndpointInput, EndpointPatchInput},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{Problem, ReadProblem, WriteProblem},
    respond::{Created, Done, Found},
    resume::ResumeInput,
    state::ApiState,
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit},
};

/// The operations.
pub(crate) struct Endpoints;

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Endpoints",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl Endpoints {
    /// Make an endpoint
    ///
    /// Scope `endpoints:write`. The answer is the only one that shows the signing secret. The URL's host must
    /// not resolve to a private address; that is checked again at every delivery.
    #[oai(path = "/endpoints", method = "post", operation_id = "createEndpoint")]
    async fn create(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<EndpointInput>,
    ) -> Result<Created<CreatedEndpoint>, WriteProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let new = body.0.check(state).await?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now());
        let created = manage::endpoints::create(edit, tenant, new, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, tenant.as_str()))?;
        Ok(Created(CreatedEndpoint::of(created, &state.key_ring)?))
    }

    /// List endpoints
    ///
    /// Scope `endpoints:read`. Oldest first.
    #[oai(path = "/endpoints", method = "get", operation_id = "listEndpoints")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<Endpoint>>, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsRead)?;
        let page = PageRequest::<EndpointId>::parse(cursor.0.as_deref(), limit.0)?;
        let mut conn = state.pool.acquire().await?;
        let rows = endpoints::list(&mut conn, tenant, page.after.as_ref(), page.rows_to_read()).await?;
        Ok(Found(page.page(rows, |row| row.id.to_string(), |row| Endpoint::read_by(&auth.0, row, &state.key_ring))?))
    }

    /// Get an endpoint
    ///
    /// Scope `endpoints:read`.
    #[oai(path = "/endpoints/:id", method = "get", operation_id = "getEndpoint")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
    ) -> Result<Found<Endpoint>, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsRead)?;
        let mut conn = state.pool.acquire().await?;
        let row = endpoints::get(&mut conn, tenant, &parse_id(&id)?).await?;
        let row = row.ok_or_else(|| Problem::not_found("endpoint", &id))?;
        Ok(Found(Endpoint::read_by(&auth.0, row, &state.key_ring)?))
    }

    /// Change an endpoint
    ///
    /// Scope `endpoints:write`. Only what is given changes; deliveries see it within about a second, also those
    /// that were matched before.
    #[oai(path = "/endpoints/:id", method = "patch", operation_id = "updateEndpoint")]
    async fn update(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        body: Body<EndpointPatchInput>,
    ) -> Result<Found<Endpoint>, WriteProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let patch = body.0.check(state).await?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now());
        let row = manage::endpoints::update(edit, tenant, &endpoint, patch, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(Endpoint::of(row, &state.key_ring)?))
    }

    /// Pause an endpoint
    ///
    /// Scope `endpoints:write`. What comes for it is held until it is resumed; what is being sent when this is seen,
    /// within about a second, is sent.
    #[oai(path = "/endpoints/:id/pause", method = "post", operation_id = "pauseEndpoint")]
    async fn pause(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
    ) -> Result<Found<Endpoint>, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let actor = auth.0.actor();
        let row = manage::endpoints::pause(Edit::new(state, &actor, clock::now()), tenant, &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(Endpoint::of(row, &state.key_ring)?))
    }

    /// Resume an endpoint
    ///
    /// Scope `endpoints:write`. What was held is sent beside what comes, or skipped. It also ends what made
    /// Postrider stop sending: an answer 410, or days of nothing but failures.
    #[oai(path = "/endpoints/:id/resume", method = "post", operation_id = "resumeEndpoint")]
    async fn resume(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        body: Body<ResumeInput>,
    ) -> Result<Found<Endpoint>, WriteProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let held = body.0.check(state.broker_clock.now())?;
        let actor = auth.0.actor();
        let row = manage::endpoints::resume(Edit::new(state, &actor, clock::now()), tenant, &endpoint, held)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(Endpoint::of(row, &state.key_ring)?))
    }

    /// Delete an endpoint
    ///
    /// Scope `endpoints:write`. Its subscriptions go with it; what is on its way to it is not sent any more.
    #[oai(path = "/endpoints/:id", method = "delete", operation_id = "deleteEndpoint")]
    async fn delete(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
    ) -> Result<Done, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let actor = auth.0.actor();
        manage::endpoints::delete(Edit::new(state, &actor, clock::now()), tenant, &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }
}

fn parse_id(text: &str) -> Result<EndpointId, Problem> {
    text.parse().map_err(|_| Problem::not_found("endpoint", text))
}
