//! `/v1/verify-signature`: what is wrong with a message that its receiver could not verify.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, types::Example};
use postrider_domain::{
    EndpointId, EntityId, TenantId, Timestamp,
    endpoint::{SigningStyle, purpose},
    signing::SigningSecret,
};
use postrider_postgres::{endpoints, secrets};
use serde::Deserialize;

use super::{
    access::Authenticated,
    body::Body,
    endpoint_setting_types::SigningJson,
    openapi::Tag,
    problem::{Problem, WriteProblem},
    respond::Found,
    schema::{SecretJson, Time},
    state::ApiState,
};
use crate::{
    auth::Scope,
    clock,
    secret_text::SecretText,
    signature_check::{self, Check, Finding, ReceivedMessage},
};

const DEFAULT_TOLERANCE_SECONDS: u32 = 300;
const MAX_TOLERANCE_SECONDS: u32 = 86_400;
const MAX_HEADERS: usize = 100;

/// The operations.
pub(crate) struct VerifySignature;

/// A message as its receiver had it, and with what to verify it.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct SignatureInput {
    /// The endpoint that received it: it is verified in its style, with the secrets that sign for it now.
    endpoint_id: Option<String>,
    /// The secret to verify it with, instead of the endpoint's: `whsec_…`, as the receiver has it.
    secret: Option<SecretJson>,
    /// The style that it was signed in; the endpoint's, or Standard Webhooks, if not given.
    signing: Option<SigningJson>,
    /// Its headers, at most 100; those that do not matter may be left out.
    headers: BTreeMap<String, String>,
    /// Its body, as received: verify before parsing it.
    body: Option<String>,
    /// Its body in base64, if it is no text.
    body_base64: Option<String>,
    /// When it was received; now if not given.
    received_at: Option<Time>,
    /// How far the receiver's clock and the signature's time may be apart, in seconds.
    #[serde(default = "default_tolerance")]
    #[oai(default = "default_tolerance", validator(minimum(value = "1"), maximum(value = "86400")))]
    tolerance_seconds: u32,
}

fn default_tolerance() -> u32 {
    DEFAULT_TOLERANCE_SECONDS
}

impl Example for SignatureInput {
    fn example() -> Self {
        let headers = [
            ("webhook-id", "msg_abqv5r5azy4rgtfna4j5pzfbr3"),
            ("webhook-timestamp", "1769860800"),
            ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        ];
        Self {
            endpoint_id: Some("ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned()),
            secret: None,
            signing: None,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: Some(
                r#"{"type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","data":{"order_id":"ord_1042"}}"#
                    .to_owned(),
            ),
            body_base64: None,
            received_at: Some(Time(Timestamp::from_millis(1_769_860_801_000))),
            tolerance_seconds: DEFAULT_TOLERANCE_SECONDS,
        }
    }
}

/// Whether the message can be verified, and if not, because of what.
#[derive(Debug, Object)]
#[oai(example)]
struct SignatureVerdict {
    /// Whether nothing failed.
    valid: bool,
    /// Every check, in this order: `format`, `id`, `timestamp`, `signature`.
    checks: Vec<SignatureCheckResult>,
}

impl Example for SignatureVerdict {
    fn example() -> Self {
        Self { valid: false, checks: vec![SignatureCheckResult::example()] }
    }
}

/// How one check went.
#[derive(Debug, Object)]
#[oai(example)]
struct SignatureCheckResult {
    /// What was checked.
    check: CheckName,
    /// How it went.
    outcome: CheckOutcome,
    /// What is wrong, and what to do; null if it passed.
    detail: Option<String>,
}

impl Example for SignatureCheckResult {
    fn example() -> Self {
        Self {
            check: CheckName::Timestamp,
            outcome: CheckOutcome::Failed,
            detail: Some(
                "the message was signed too long ago: check the receiver's clock, or it was sent again by someone \
                 else: 412 s before it was received"
                    .to_owned(),
            ),
        }
    }
}

/// What is checked: `format` (the headers are there, and written as they should be), `id` (the `webhook-id`),
/// `timestamp` (signed within the tolerance), `signature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "SignatureCheck", rename_all = "snake_case")]
enum CheckName {
    Format,
    Id,
    Timestamp,
    Signature,
}

/// How a check went; `skipped` if there was nothing to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "SignatureCheckOutcome", rename_all = "snake_case")]
enum CheckOutcome {
    Passed,
    Failed,
    Skipped,
}

impl From<(Check, Finding)> for SignatureCheckResult {
    fn from((check, finding): (Check, Finding)) -> Self {
        let check = match check {
            Check::Format => CheckName::Format,
            Check::Id => CheckName::Id,
            Check::Timestamp => CheckName::Timestamp,
            Check::Signature => CheckName::Signature,
        };
        let (outcome, detail) = match finding {
            Finding::Passed => (CheckOutcome::Passed, None),
            Finding::Failed(why) => (CheckOutcome::Failed, Some(why)),
            Finding::Skipped(why) => (CheckOutcome::Skipped, Some(why.to_owned())),
        };
        Self { check, outcome, detail }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Verify",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl VerifySignature {
    /// Verify a message's signature
    ///
    /// Scope `endpoints:read`. Says of a message that a receiver got, check by check, whether it can be verified: with
    /// an endpoint's secrets, or with the secret that the receiver has, which shows whether it has the right one.
    /// Nothing of it is kept.
    #[oai(path = "/verify-signature", method = "post", operation_id = "verifySignature")]
    async fn verify(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<SignatureInput>,
    ) -> Result<Found<SignatureVerdict>, WriteProblem> {
        let tenant = auth.tenant(Scope::EndpointsRead)?;
        let input = body.0;
        let now = clock::now();
        if !(1..=MAX_TOLERANCE_SECONDS).contains(&input.tolerance_seconds) {
            let detail = format!("must be 1 to {MAX_TOLERANCE_SECONDS}");
            return Err(Problem::field("/tolerance_seconds", detail).into());
        }
        if input.headers.len() > MAX_HEADERS {
            let detail = format!("has {} entries, at most {MAX_HEADERS} are allowed", input.headers.len());
            return Err(Problem::field("/headers", detail).into());
        }
        let bytes = body_of(&input)?;
        let of_endpoint = match &input.endpoint_id {
            Some(id) => Some(signing_of(state, tenant, id, now).await?),
            None => None,
        };
        let (secrets, style) = chosen(input.secret.as_ref().map(|secret| &secret.0), input.signing, of_endpoint)?;
        let headers: BTreeMap<String, String> = input
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let message =
            ReceivedMessage { headers: &headers, body: &bytes, at: input.received_at.map_or(now, |time| time.0) };
        let tolerance = Duration::from_secs(input.tolerance_seconds.into());
        let findings = signature_check::check(&style, &secrets, &message, tolerance);
        let valid = !findings.iter().any(|(_, finding)| matches!(finding, Finding::Failed(_)));
        Ok(Found(SignatureVerdict { valid, checks: findings.map(Into::into).into() }))
    }
}

fn body_of(input: &SignatureInput) -> Result<Vec<u8>, Problem> {
    match (&input.body, &input.body_base64) {
        (Some(text), None) => Ok(text.clone().into_bytes()),
        (None, Some(encoded)) => BASE64_STANDARD
            .decode(encoded)
            .map_err(|error| Problem::field("/body_base64", format!("is not base64: {error}"))),
        (None, None) => Err(Problem::field("/body", "is needed, or body_base64: the body as it was received")),
        (Some(_), Some(_)) => Err(Problem::field("/body_base64", "can't go with body; leave one of them out")),
    }
}

/// The secrets and the style to verify with.
fn chosen(
    secret: Option<&SecretText>,
    signing: Option<SigningJson>,
    of_endpoint: Option<(Vec<SigningSecret>, SigningStyle)>,
) -> Result<(Vec<SigningSecret>, SigningStyle), Problem> {
    let (of_endpoint, style) = of_endpoint.unzip();
    let secrets = match (secret, of_endpoint) {
        (Some(secret), _) => {
            let parsed = SigningSecret::parse(secret.reveal());
            vec![parsed.map_err(|error| Problem::field("/secret", error.to_string()))?]
        }
        (None, Some(secrets)) => secrets,
        (None, None) => {
            return Err(Problem::field("/endpoint_id", "is needed, or secret: there is nothing to verify with"));
        }
    };
    Ok((secrets, signing.map(Into::into).or(style).unwrap_or_default()))
}

/// The secrets that sign for an endpoint at `now`, and its style.
async fn signing_of(
    state: &ApiState,
    tenant: &TenantId,
    id: &str,
    now: Timestamp,
) -> Result<(Vec<SigningSecret>, SigningStyle), Problem> {
    let missing = || Problem::not_found("endpoint", id).at("/endpoint_id");
    let endpoint: EndpointId = id.parse().map_err(|_| missing())?;
    let mut transaction = state.pool.tenant(tenant).await?;
    let row = endpoints::get(&mut transaction, tenant, &endpoint).await?.ok_or_else(missing)?;
    let current = secrets::list_current(&mut transaction, tenant, &endpoint, now).await?;
    transaction.commit().await?;
    let entity = EntityId::from(&endpoint);
    let open = |sealed| {
        let bytes = state.key_ring.open(sealed, tenant, &entity, purpose::SECRET).ok()?;
        SigningSecret::parse(std::str::from_utf8(&bytes).ok()?).ok()
    };
    let opened: Option<Vec<_>> = current.iter().map(|secret| open(&secret.secret.sealed)).collect();
    let opened = opened.ok_or_else(|| {
        Problem::internal(&format!("a secret of {endpoint} can't be opened: is its key missing from the key ring?"))
    })?;
    Ok((opened, row.settings.signing))
}
