//! `/v1/endpoints`: where events are delivered.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};
use postrider_domain::EndpointId;
use postrider_postgres::{
    endpoint_activity,
    endpoints::{self, EndpointRow},
};

use super::{
    access::Authenticated,
    body::Body,
    endpoint_input::{EndpointInput, EndpointReplacement},
    endpoint_patch::EndpointPatchInput,
    endpoint_types::{CreatedEndpoint, Endpoint},
    etag::{self, CreatedVersion, Versioned},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{ActionProblem, ChangeProblem, Problem, ReadProblem, WriteProblem},
    respond::{Done, Found},
    state::ApiState,
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit, endpoints::Known},
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
    ) -> Result<CreatedVersion<CreatedEndpoint>, WriteProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let new = body.0.check(state).await?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now());
        let created = manage::endpoints::create(edit, tenant, new, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, tenant.as_str()))?;
        let version = created.endpoint.version;
        Ok(CreatedVersion { body: CreatedEndpoint::of(created, &state.key_ring)?, version })
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
        let mut conn = state.pool.tenant(tenant).await?;
        let rows = endpoints::list(&mut conn, tenant, page.after.as_ref(), page.rows_to_read()).await?;
        let ids: Vec<&EndpointId> = rows.iter().map(|row| &row.id).collect();
        let totals = endpoint_activity::list(&mut conn, tenant, &ids).await?;
        let answer = |row: EndpointRow| {
            let totals = totals.iter().find(|totals| totals.endpoint == row.id).cloned();
            Endpoint::read_by(&auth.0, row, totals, &state.key_ring)
        };
        Ok(Found(page.page(rows, |row| row.id.to_string(), answer)?))
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
    ) -> Result<Versioned<Endpoint>, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsRead)?;
        let mut conn = state.pool.tenant(tenant).await?;
        let row = endpoints::get(&mut conn, tenant, &parse_id(&id)?).await?;
        let row = row.ok_or_else(|| Problem::not_found("endpoint", &id))?;
        let activity = endpoint_activity::get(&mut conn, tenant, &row.id).await?;
        drop(conn);
        Ok(versioned(&auth, Known { row, activity }, state)?)
    }

    /// Change an endpoint
    ///
    /// Scope `endpoints:write`. JSON Merge Patch (RFC 7396), as `application/json` or `application/merge-patch+json`:
    /// only what is given changes, and null brings back a default. Deliveries see it within about a second, also those
    /// that were matched before.
    #[oai(path = "/endpoints/:id", method = "patch", operation_id = "updateEndpoint")]
    async fn update(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<EndpointPatchInput>,
    ) -> Result<Versioned<Endpoint>, ChangeProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let patch = body.0.check(state).await?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let known = manage::endpoints::update(edit, tenant, &endpoint, patch, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(&auth, known, state)?)
    }

    /// Replace an endpoint
    ///
    /// Scope `endpoints:write`. What is not given goes back to its default; its subscriptions and secrets stay, and so
    /// does whether it is paused. Deliveries see it within about a second, also those that were matched before.
    #[oai(path = "/endpoints/:id", method = "put", operation_id = "replaceEndpoint")]
    async fn replace(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<EndpointReplacement>,
    ) -> Result<Versioned<Endpoint>, ChangeProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let patch = body.0.check(state).await?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let known = manage::endpoints::update(edit, tenant, &endpoint, patch, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(&auth, known, state)?)
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
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Done, ActionProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        manage::endpoints::delete(edit, tenant, &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }
}

/// The answer for an endpoint.
pub(super) fn versioned(auth: &Authenticated, known: Known, state: &ApiState) -> Result<Versioned<Endpoint>, Problem> {
    let Known { row, activity } = known;
    let version = row.version;
    Ok(Versioned { body: Endpoint::read_by(&auth.0, row, activity, &state.key_ring)?, version })
}

pub(super) fn parse_id(text: &str) -> Result<EndpointId, Problem> {
    text.parse().map_err(|_| Problem::not_found("endpoint", text))
}
