//! `/v1/endpoints/{id}/…`: what is done to an endpoint as a whole.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};
use postrider_postgres::{endpoint_history, endpoints};

use super::{
    access::Authenticated,
    body::Body,
    endpoint_action_types::{HistoryEntry, StateInput},
    endpoint_types::Endpoint,
    endpoints::{parse_id, versioned},
    etag::{self, Versioned},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{ActionProblem, ChangeProblem, Problem, ReadProblem},
    respond::Found,
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
pub(crate) struct EndpointActions;

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Endpoints",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl EndpointActions {
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
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Versioned<Endpoint>, ActionProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let known = manage::endpoint_state::pause(edit, tenant, &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(&auth, known, state)?)
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
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<ResumeInput>,
    ) -> Result<Versioned<Endpoint>, ChangeProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let held = body.0.check(state.broker_clock.now())?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let known = manage::endpoint_state::resume(edit, tenant, &endpoint, held)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(&auth, known, state)?)
    }

    /// Disable an endpoint
    ///
    /// Scope `endpoints:write`. What comes for it is held until it is enabled. The reason is kept with it and in its
    /// history.
    #[oai(path = "/endpoints/:id/disable", method = "post", operation_id = "disableEndpoint")]
    async fn disable(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<StateInput>,
    ) -> Result<Versioned<Endpoint>, ChangeProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let reason = body.0.check()?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let known = manage::endpoint_state::disable(edit, tenant, &endpoint, reason)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(&auth, known, state)?)
    }

    /// Enable an endpoint
    ///
    /// Scope `endpoints:write`. What was held is sent, beside what comes. It also ends what made Postrider stop sending:
    /// an answer 410, or days of nothing but failures. One that has yet to be verified is enabled once it is.
    #[oai(path = "/endpoints/:id/enable", method = "post", operation_id = "enableEndpoint")]
    async fn enable(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<StateInput>,
    ) -> Result<Versioned<Endpoint>, ChangeProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let reason = body.0.check()?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let known = manage::endpoint_state::enable(edit, tenant, &endpoint, reason.as_deref())
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(&auth, known, state)?)
    }

    /// List an endpoint's history
    ///
    /// Scope `endpoints:read`. When it was enabled, disabled, paused and resumed, by whom and why: newest first.
    #[oai(path = "/endpoints/:id/history", method = "get", operation_id = "listEndpointHistory")]
    async fn history(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<HistoryEntry>>, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsRead)?;
        let endpoint = parse_id(&id)?;
        let page = PageRequest::<i64>::parse(cursor.0.as_deref(), limit.0)?;
        let mut conn = state.pool.tenant(tenant).await?;
        endpoints::get(&mut conn, tenant, &endpoint).await?.ok_or_else(|| Problem::not_found("endpoint", &id))?;
        let rows = endpoint_history::list(&mut conn, tenant, &endpoint, page.after, page.rows_to_read()).await?;
        Ok(Found(page.page(rows, |row| row.id.to_string(), |row| Ok(row.into()))?))
    }
}
