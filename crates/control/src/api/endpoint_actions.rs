//! `/v1/endpoints/{id}/…`: what is done to an endpoint as a whole.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Header, Path},
};

use super::{
    access::Authenticated,
    body::Body,
    endpoint_types::Endpoint,
    endpoints::{parse_id, versioned},
    etag::{self, Versioned},
    openapi::Tag,
    problem::{ActionProblem, ChangeProblem},
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
        let row = manage::endpoints::pause(edit, tenant, &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(row, state)?)
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
        let row = manage::endpoints::resume(edit, tenant, &endpoint, held)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(row, state)?)
    }
}
