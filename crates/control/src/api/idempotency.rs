//! `Idempotency-Key`: a request that changes something is executed once, however often it is sent.
//!
//! The server puts a [`KeyedRequest`] into the request; once the caller is known, authentication claims the key for
//! them, or ends the request with what the earlier one was answered. So a repeated request passes the same checks of
//! its API key as any other. Whoever claimed stores the answer, sealed and without secrets; a failed request leaves
//! nothing behind, and may be sent again. A claim whose process died is taken over once its time is up, unless its
//! change was made: that is noted in the change's own transaction (`crate::idempotency`).

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use poem::{
    Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};
use postrider_domain::{
    EntityId, TenantId, Timestamp,
    seal::{KeyRing, KeyedHash, Sealed, SealedAt},
};
use postrider_postgres::idempotency::{self, EarlierRequest, NewClaim};
use rand::{CryptoRng, Rng as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    problem::{Problem, ProblemKind},
    state::ApiState,
    unread::{BodyHandle, Unread},
};
use crate::{auth::Caller, clock, idempotency::Execution};

/// The header with the caller's key.
pub(crate) const HEADER: &str = "Idempotency-Key";
/// Says that an answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_KEY_CHARACTERS: usize = 255;
/// How long a key is remembered.
const RETENTION: Duration = Duration::from_hours(24);
/// How long after the end of its time a request may still be at work on its change.
const SLACK: Duration = Duration::from_secs(30);
/// Answers that are longer are not kept.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How many that expired are forgotten with each claim: more than one, so that they can't pile up.
const FORGOTTEN_PER_CLAIM: i64 = 10;
/// An API key's text is longer than this, its public prefix shorter.
const MIN_KEY_CHARACTERS: usize = 32;
/// How long storing an answer may take: the caller waits for it.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
const FINGERPRINT_PURPOSE: &str = "idempotent-request";
const ANSWER_PURPOSE: &str = "idempotent-answer";
/// Headers of an answer that a repetition needs, too.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// A request with a key, before its caller is known.
#[derive(Clone)]
pub(super) struct KeyedRequest {
    key: String,
    target: String,
    body: BodyHandle,
    patience: Duration,
    max_body_bytes: usize,
    /// What is executed, once it was claimed.
    pub execution: Execution,
    sealed_for: Arc<OnceLock<(TenantId, EntityId)>>,
}

/// An earlier answer. The server sends it in place of the request's own.
#[derive(Debug, thiserror::Error)]
#[error("the request was answered before")]
pub(super) struct Replayed(StoredAnswer);

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl KeyedRequest {
    /// What a request's key says, if it has one and its method changes something.
    pub fn of(request: &Request, patience: Duration, max_body_bytes: usize) -> Result<Option<Self>, Problem> {
        let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method());
        let Some(value) = request.headers().get(HEADER).filter(|_| changes) else { return Ok(None) };
        let key = value.to_str().ok().filter(|key| (1..=MAX_KEY_CHARACTERS).contains(&key.len()));
        let key = key.ok_or_else(|| {
            let detail = format!("must be 1 to {MAX_KEY_CHARACTERS} visible ASCII characters, such as a UUID");
            Problem::new(ProblemKind::BadRequest, detail).at(HEADER)
        })?;
        let target = format!("{} {}", request.method(), request.uri());
        Ok(Some(Self {
            key: key.to_owned(),
            target,
            body: BodyHandle::default(),
            patience,
            max_body_bytes,
            execution: Execution::default(),
            sealed_for: Arc::default(),
        }))
    }

    /// Lets the key of `request`, if it has one, look at its body as it is now: unpacked, so that a caller which packs it
    /// anew for each try asks for the same.
    pub fn lend_body(request: &mut Request) {
        if let Some(keyed) = request.data::<Self>().cloned() {
            let body = Unread::of(request).handle();
            request.set_data(Self { body, ..keyed });
        }
    }

    /// Claims the key for `caller`. An error is what the request is to be answered instead.
    pub async fn claim(&self, state: &ApiState, caller: &Caller, now: Timestamp) -> poem::Result<()> {
        let body = self.body.read(self.max_body_bytes).await?;
        let asked = [self.target.as_bytes(), b"\n", &body].concat();
        let fingerprint = state.key_ring.keyed_hash(FINGERPRINT_PURPOSE, &asked).to_bytes();
        let actor = caller.actor().id;
        let (tenant, entity) = self.sealed_for.get_or_init(|| {
            let tenant = caller.tenant.clone().unwrap_or_else(|| TenantId::from_trusted("operator"));
            (tenant, EntityId::from_trusted(format!("{actor} {}", self.key)))
        });
        let claim = clock::rng().next_u64().cast_signed();
        let new = NewClaim {
            claim,
            caller: &actor,
            tenant: caller.tenant.as_ref(),
            key: &self.key,
            fingerprint: &fingerprint,
            locked_until: now + self.patience + SLACK,
            expires_at: now + RETENTION,
        };
        let mut conn = state.pool.acquire().await.map_err(Problem::from)?;
        let earlier = idempotency::claim(&mut conn, new, now).await.map_err(Problem::from)?;
        if let Some(earlier) = earlier {
            let answer = replayable(&earlier, &asked, &state.key_ring, tenant, entity)?;
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
            return Err(poem::Error::new(Replayed(answer), status));
        }
        self.execution.begin(claim, seed(&[tenant.as_str(), &actor, &self.key], &asked));
        idempotency::forget_expired(&mut conn, now, FORGOTTEN_PER_CLAIM).await.map_err(Problem::from)?;
        Ok(())
    }

    /// Keeps what the request was answered, if it did what it was to do; else it may be sent again.
    pub async fn finish(&self, state: &ApiState, answer: Response) -> Response {
        let (Some(claim), Some((tenant, entity))) = (self.execution.claim(), self.sealed_for.get()) else {
            return answer;
        };
        if !answer.is_success() {
            self.release(state).await;
            return answer;
        }
        let (answer, kept) = read(answer).await;
        let sealed = kept.map(|kept| seal(&kept, &state.key_ring, tenant, entity, &mut clock::rng()));
        store(async {
            let mut conn = state.pool.acquire().await?;
            idempotency::finish(&mut conn, claim, sealed.as_ref().map(Sealed::as_bytes)).await
        })
        .await;
        answer
    }

    /// Lets the request be sent again, unless its change was made.
    pub async fn release(&self, state: &ApiState) {
        let Some(claim) = self.execution.claim() else { return };
        store(async {
            let mut conn = state.pool.acquire().await?;
            idempotency::release(&mut conn, claim).await
        })
        .await;
    }
}

/// Does what the caller waits for, but not for long.
async fn store(work: impl Future<Output = Result<(), postrider_postgres::Error>>) {
    match tokio::time::timeout(STORE_TIMEOUT, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "what became of an idempotent request could not be stored"),
        Err(_) => tracing::warn!("what became of an idempotent request could not be stored in time"),
    }
}

impl Replayed {
    /// The earlier answer.
    pub fn answer(&self) -> Response {
        let mut answer = Response::builder().status(StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::OK));
        for (name, value) in &self.0.headers {
            answer = answer.header(name, value);
        }
        answer.header(REPLAYED, HeaderValue::from_static("true")).body(self.0.body.clone())
    }
}

/// The earlier answer, or why there is none to give.
fn replayable(
    earlier: &EarlierRequest,
    asked: &[u8],
    key_ring: &KeyRing,
    tenant: &TenantId,
    entity: &EntityId,
) -> Result<StoredAnswer, Problem> {
    let is_same = KeyedHash::from_bytes(&earlier.fingerprint)
        .is_some_and(|hash| key_ring.verify_keyed_hash(FINGERPRINT_PURPOSE, asked, &hash));
    if !is_same {
        return Err(Problem::field(HEADER, "was used for another request; take a new key for each new request"));
    }
    if !earlier.done {
        let detail = "a request with this key is being worked on; try again in a moment, with the same key";
        return Err(Problem::new(ProblemKind::Conflict, detail).at(HEADER));
    }
    let lost = || {
        let detail = "the request was done, but its answer is not kept; look at what there is, and don't repeat it";
        Problem::new(ProblemKind::Conflict, detail).at(HEADER)
    };
    let sealed = earlier.answer.clone().and_then(|bytes| Sealed::from_bytes(bytes).ok()).ok_or_else(lost)?;
    let opened = key_ring.open(&sealed, tenant, entity, ANSWER_PURPOSE).map_err(|_| lost())?;
    serde_json::from_slice(&opened).map_err(|_| lost())
}

/// What the ids follow from that a request makes: who asks, under which key, and for what.
fn seed(texts: &[&str], asked: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.update(asked);
    hash.finalize().into()
}

fn seal(
    answer: &StoredAnswer,
    key_ring: &KeyRing,
    tenant: &TenantId,
    entity: &EntityId,
    rng: &mut impl CryptoRng,
) -> Sealed {
    let text = serde_json::to_vec(answer).expect("it has only texts");
    key_ring.seal(&text, SealedAt { tenant, entity, purpose: ANSWER_PURPOSE, version: 0 }, rng)
}

/// Reads an answer, and what is kept of it: nothing if it is too long, or no JSON.
async fn read(mut answer: Response) -> (Response, Option<StoredAnswer>) {
    let body = match answer.take_body().into_bytes().await {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(%error, "an answer could not be read");
            return (answer, None);
        }
    };
    let text = (body.len() <= MAX_ANSWER_BYTES).then(|| without_secrets(&body)).flatten();
    let kept = text.map(|body| StoredAnswer {
        status: answer.status().as_u16(),
        headers: KEPT_HEADERS
            .iter()
            .filter_map(|name| Some((name.to_string(), answer.headers().get(name)?.to_str().ok()?.to_owned())))
            .collect(),
        body,
    });
    answer.set_body(body);
    (answer, kept)
}

/// An answer's body as it is kept; none if it can't be told what in it is secret.
fn without_secrets(body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return Some(String::new());
    }
    let mut json: Value = serde_json::from_slice(body).ok()?;
    leave_secrets_out(&mut json);
    Some(json.to_string())
}

/// Takes out what is shown once only: the texts of API keys, and signing secrets.
fn leave_secrets_out(json: &mut Value) {
    match json {
        Value::Object(members) => {
            members.retain(|_, value| !value.as_str().is_some_and(is_secret));
            members.values_mut().for_each(leave_secrets_out);
        }
        Value::Array(items) => {
            items.retain(|value| !value.as_str().is_some_and(is_secret));
            items.iter_mut().for_each(leave_secrets_out);
        }
        _ => {}
    }
}

fn is_secret(text: &str) -> bool {
    text.starts_with("whsec_")
        || text.starts_with("whsk_")
        || (text.starts_with("pr_") && text.len() > MIN_KEY_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_once_is_left_out_wherever_it_is() {
        let key = "pr_7f3k9m2q5t8w_pQ4mY0cX8mJ6m0q0vQ0c1n3b2xk9zFhTgS5uWw7ErLd";
        let mut json = json!({
            "id": "key_1", "key": key, "prefix": "pr_7f3k9m2q5t8w", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "secrets": ["whsk_abc", "plain"], "data": [{"secret": "whsec_x", "name": "n"}],
        });
        let deep = format!(r#"{{"key":"{key}","more":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert_eq!(without_secrets(deep.as_bytes()), None, "what can't be looked through is not kept");
        assert_eq!(without_secrets(b""), Some(String::new()));
        leave_secrets_out(&mut json);
        let expected =
            json!({"id": "key_1", "prefix": "pr_7f3k9m2q5t8w", "secrets": ["plain"], "data": [{"name": "n"}]});
        assert_eq!(json, expected);
    }
}
