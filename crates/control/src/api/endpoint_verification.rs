//! `/v1/endpoints/{id}/verify`: an endpoint shows that it wants events.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path},
    types::Example,
};
use postrider_domain::{MessageId, Timestamp, signing::SignedParts};
use postrider_postgres::{
    endpoints::{self, EndpointRow, Verification},
    secrets::{self, SecretRow},
};
use serde::Deserialize;

use super::{
    access::Authenticated,
    body::Body,
    endpoint_setting_types::VerificationMethod,
    endpoint_types::Endpoint,
    endpoints::{parse_id, versioned},
    etag::{self, Versioned},
    openapi::Tag,
    problem::{ChangeProblem, Problem, ProblemKind},
    state::{ApiConfig, ApiState, Question},
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit},
    verification::Asked,
};

/// How long a reply is waited for at most: whoever called waits as well.
const MAX_DEADLINE: Duration = Duration::from_secs(15);
/// What we call ourselves where it is not configured under which URL we are known.
const UNNAMED_ORIGIN: &str = "postrider";

/// The operations.
pub(crate) struct EndpointVerification;

/// How an endpoint is to show that it wants events.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct VerifyInput {
    /// How; if not given as its setting `verification` says, or by `cloudevents` if that is not set.
    method: Option<VerificationMethod>,
}

impl Example for VerifyInput {
    fn example() -> Self {
        Self { method: Some(VerificationMethod::Challenge) }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Endpoints",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl EndpointVerification {
    /// Verify an endpoint
    ///
    /// Scope `endpoints:write`. Asks it whether it wants events. By `cloudevents` it is sent an `OPTIONS` request with
    /// `WebHook-Request-Origin`, and allows that by `WebHook-Allowed-Origin`; its `WebHook-Allowed-Rate` becomes its rate
    /// limit if it has none. By `challenge` it is posted `{"type": "postrider.endpoint.challenge", "challenge": "…"}`, signed
    /// like a delivery, and answers with the text of `challenge`. An endpoint that waited for this is enabled. Where the
    /// reply is another one, the answer is 409 and says what was wrong with it.
    #[oai(path = "/endpoints/:id/verify", method = "post", operation_id = "verifyEndpoint")]
    async fn verify(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<VerifyInput>,
    ) -> Result<Versioned<Endpoint>, ChangeProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let endpoint = parse_id(&id)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let mut conn = state.pool.tenant(tenant).await?;
        let row = endpoints::get(&mut conn, tenant, &endpoint).await?;
        let row = row.ok_or_else(|| Problem::not_found("endpoint", &id))?;
        let current = secrets::list_current(&mut conn, tenant, &endpoint, clock::now()).await?;
        // Nobody else waits for a connection while the endpoint takes its time.
        drop(conn);

        let method = body.0.method.map(Verification::from).or(row.verification).unwrap_or(Verification::Cloudevents);
        let asked = Asked::new(method, &origin(config), &mut clock::rng());
        let question = question(state, &row, &current, &asked, clock::now())?;
        let refused = |why: String| Problem::new(ProblemKind::Conflict, format!("the endpoint is not verified: {why}"));
        let reply = state.handshakes.send(question).await.map_err(refused)?;
        let allowed = asked.judge(&reply).map_err(refused)?;

        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let known = manage::endpoint_state::verified(edit, tenant, &endpoint, &row.url, allowed)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(versioned(&auth, known, state)?)
    }
}

/// Under which name this deployment asks.
fn origin(config: &ApiConfig) -> String {
    let url = config.public_url.as_deref().and_then(|url| url.parse::<postrider_domain::egress::Url>().ok());
    url.and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_else(|| UNNAMED_ORIGIN.to_owned())
}

/// The question to an endpoint: with all that its deliveries have, too.
fn question(
    state: &ApiState,
    row: &EndpointRow,
    secrets: &[SecretRow],
    asked: &Asked,
    now: Timestamp,
) -> Result<Question, Problem> {
    let opened = manage::opened::open(&state.key_ring, row, secrets).map_err(|error| Problem::internal(&error))?;
    let target = state.egress.check_url(&opened.url).map_err(|error| Problem::field("/url", error.to_string()))?;
    let json = asked.json();
    let mut headers = asked.headers();
    if let Some(body) = &json {
        let message_id = MessageId::from_trusted(format!("msg_{}", row.id.as_str().trim_start_matches("ep_")));
        let parts = SignedParts { message_id: &message_id, endpoint_id: &row.id, now, body };
        let signed = postrider_domain::signing::signed_headers(&row.settings.signing, &opened.secrets, parts);
        let signed = signed.map_err(|error| Problem::new(ProblemKind::Conflict, error.to_string()))?;
        headers.extend(signed.into_iter().map(|(name, value)| (name.into_owned(), value)));
    }
    headers.extend(opened.headers);
    Ok(Question {
        tenant: row.tenant.clone(),
        url: target.url,
        client_identity: opened.client_identity,
        ca: row.settings.ca.clone(),
        json,
        headers,
        deadline: Duration::from_millis(row.timeout_ms.into()).min(MAX_DEADLINE),
    })
}
