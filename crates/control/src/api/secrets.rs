//! `/v1/endpoints/{id}/secrets`: what an endpoint's deliveries are signed with.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};
use postrider_domain::SecretId;
use postrider_postgres::{endpoints, secrets};

use super::{
    access::Authenticated,
    body::Body,
    endpoints::parse_id,
    etag::{self, CreatedVersion},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{ActionProblem, ChangeProblem, Problem, ReadProblem},
    respond::Found,
    secret_types::{RevealedSecret, RotateInput, SecretVersion},
    state::ApiState,
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit, ManageError},
};

/// The operations.
pub(crate) struct Secrets;

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Secrets",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl Secrets {
    /// List an endpoint's secrets
    ///
    /// Scope `secrets:read`. Newest first, without their values; those that sign no more are listed for 90 days.
    #[oai(path = "/endpoints/:id/secrets", method = "get", operation_id = "listEndpointSecrets")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<SecretVersion>>, ReadProblem> {
        let tenant = auth.tenant(Scope::SecretsRead)?;
        let (endpoint, now) = (parse_id(&id)?, clock::now());
        let page = PageRequest::<i64>::parse(cursor.0.as_deref(), limit.0)?;
        let mut conn = state.pool.tenant(tenant).await?;
        endpoints::get(&mut conn, tenant, &endpoint).await?.ok_or_else(|| Problem::not_found("endpoint", &id))?;
        let rows = secrets::list(&mut conn, tenant, &endpoint, page.after, page.rows_to_read()).await?;
        Ok(Found(page.page(rows, |row| row.version.to_string(), |row| Ok(SecretVersion::of(row, now)))?))
    }

    /// Rotate an endpoint's secret
    ///
    /// Scope `secrets:write`. The new secret signs from about a second later on. Those before sign beside it for the
    /// grace period, or for what is left of their own: whoever verifies with any of them finds its signature. The answer
    /// shows the new secret; later that takes `revealEndpointSecret`.
    #[oai(path = "/endpoints/:id/secrets/rotate", method = "post", operation_id = "rotateEndpointSecret")]
    async fn rotate(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of the endpoint.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<RotateInput>,
    ) -> Result<CreatedVersion<RevealedSecret>, ChangeProblem> {
        let tenant = auth.tenant(Scope::SecretsWrite)?;
        let endpoint = parse_id(&id)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let (new, grace_seconds) = body.0.check()?;
        let grace = Duration::from_secs(grace_seconds.into());
        let (actor, now) = (auth.0.actor(), clock::now());
        let edit = Edit::new(state, &actor, now).only_if(&precondition);
        let rotated = manage::secrets::rotate(edit, tenant, &endpoint, new, grace, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        let version = rotated.endpoint.version;
        Ok(CreatedVersion { body: RevealedSecret::rotated(rotated, now), version })
    }

    /// End a secret before its time
    ///
    /// Scope `secrets:write`. It signs no more from about a second later on. The current secret can't be ended: rotate
    /// it first.
    #[oai(path = "/endpoints/:id/secrets/:secret_id/expire", method = "post", operation_id = "expireEndpointSecret")]
    async fn expire(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// The secret's id.
        secret_id: Path<String>,
    ) -> Result<Found<SecretVersion>, ActionProblem> {
        let tenant = auth.tenant(Scope::SecretsWrite)?;
        let (endpoint, secret) = (parse_id(&id)?, parse_secret_id(&secret_id)?);
        let (actor, now) = (auth.0.actor(), clock::now());
        let row = manage::secrets::expire(Edit::new(state, &actor, now), tenant, &endpoint, &secret)
            .await
            .map_err(|error| not_changed(error, &id, &secret_id))?;
        Ok(Found(SecretVersion::of(row, now)))
    }

    /// Reveal a secret
    ///
    /// Scope `secrets:reveal`. Shows its value, and writes into the audit log that it was shown and to whom.
    #[oai(path = "/endpoints/:id/secrets/:secret_id/reveal", method = "post", operation_id = "revealEndpointSecret")]
    async fn reveal(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// The secret's id.
        secret_id: Path<String>,
    ) -> Result<Found<RevealedSecret>, ActionProblem> {
        let tenant = auth.tenant(Scope::SecretsReveal)?;
        let (endpoint, secret) = (parse_id(&id)?, parse_secret_id(&secret_id)?);
        let (actor, now) = (auth.0.actor(), clock::now());
        let (row, text) = manage::secrets::reveal(Edit::new(state, &actor, now), tenant, &endpoint, &secret)
            .await
            .map_err(|error| not_changed(error, &id, &secret_id))?;
        Ok(Found(RevealedSecret::of(row, &text, now)))
    }
}

/// What a change of a secret that was not made is to the caller.
fn not_changed(error: ManageError, endpoint: &str, secret: &str) -> Problem {
    let missing = if matches!(error, ManageError::NotFound("secret")) { secret } else { endpoint };
    validate::not_managed(error, missing)
}

fn parse_secret_id(text: &str) -> Result<SecretId, Problem> {
    text.parse().map_err(|_| Problem::not_found("secret", text))
}
