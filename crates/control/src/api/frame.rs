//! What happens around every request: its id, cross-origin calls, compression, time-outs, `Idempotency-Key`, and that
//! it is answered whatever happens.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use postrider_domain::Timestamp;
use rand::Rng;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use ulid::Ulid;

use super::{
    access::Asker,
    cors::CrossOrigin,
    gzip,
    idempotency::{KeyedRequest, Replayed},
    problem::{Problem, ProblemKind},
    rate_headers::RateNote,
    state::{ApiConfig, ApiState},
    unread::Unread,
};
use crate::{clock, secret_text::without_secrets};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_CHARACTERS: usize = 64;
/// How long a test send may take: an endpoint's longest time-out, and what comes before it.
const TEST_SEND_TIMEOUT: Duration = Duration::from_secs(75);

/// What requests are answered with.
pub(super) struct Frame {
    /// How the API is served.
    pub config: ApiConfig,
    /// What it works on.
    pub state: ApiState,
    /// Requests that are executed to their end.
    pub executions: TaskTracker,
}

/// Answers a request whatever happens: errors, panics and requests that take too long become problems.
pub(super) async fn answer<E: Endpoint + 'static>(
    inner: Arc<E>,
    mut request: Request,
    frame: Arc<Frame>,
) -> poem::Result<Response> {
    let begun = Instant::now();
    let request_id = request_id(request.headers(), clock::now(), &mut clock::rng());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let takes_gzip = gzip::is_accepted(request.headers());
    // Decided here, by what the answer is.
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    let cross_origin = CrossOrigin::of(&method, request.headers(), &frame.config.cors_origins);
    let unread = Unread::of(&mut request);
    let rate = RateNote::default();
    request.set_data(rate.clone());

    let asker = Asker::default();
    request.set_data(asker.clone());
    let result = match cross_origin.preflight() {
        Some(preflight) => Ok(preflight),
        None => executed(inner, request, &frame).await,
    };
    if let Err(problem) = &result
        && let Some(kind) = problem.noted_as()
    {
        frame.state.security.note(clock::now(), kind, asker.origin(), problem.to_string());
    }
    let mut response = result.unwrap_or_else(|problem| problem.into_answer(&request_id));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    rate.tell(headers);
    cross_origin.allow(headers);
    if !unread.drain().await {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if takes_gzip {
        response = gzip::compressed(response).await;
    }
    let status = response.status();
    let elapsed = begun.elapsed();
    let labels = [("method", method.to_string()), ("status", status.as_str().to_owned())];
    metrics::counter!("postrider_api_requests_total", &labels).increment(1);
    metrics::histogram!("postrider_api_request_seconds", "method" => method.to_string()).record(elapsed.as_secs_f64());
    let path = without_secrets(&path);
    tracing::debug!(request_id, %method, %path, status = status.as_u16(), ?elapsed, "API request");
    Ok(response)
}

/// Executes a request, once if it has an `Idempotency-Key`: then to its end, also when the caller hangs up, so that its
/// answer is there for who asks again.
async fn executed<E: Endpoint + 'static>(
    inner: Arc<E>,
    mut request: Request,
    frame: &Frame,
) -> Result<Response, Problem> {
    let config = &frame.config;
    let patience = patience(request.method(), request.uri().path(), config.request_timeout);
    let keyed = KeyedRequest::of(&request, patience, config.max_body_bytes)?;
    let Some(keyed) = keyed else { return outcome(inner.call(request), patience).await };
    request.set_data(keyed.clone());
    let state = frame.state.clone();
    let execution = frame.executions.spawn(async move {
        match outcome(keyed.execution.scope(inner.call(request)), patience).await {
            Ok(answer) => Ok(keyed.finish(&state, answer).await),
            Err(problem) => {
                keyed.release(&state).await;
                Err(problem)
            }
        }
    });
    execution.await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

async fn outcome<R: IntoResponse>(
    work: impl Future<Output = poem::Result<R>>,
    patience: Duration,
) -> Result<Response, Problem> {
    match tokio::time::timeout(patience, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(Ok(response))) => Ok(response.into_response()),
        Ok(Ok(Err(error))) => match error.downcast_ref::<Replayed>() {
            Some(replayed) => Ok(replayed.answer()),
            None => Err(Problem::from_error(&error)),
        },
        Ok(Err(_panic)) => Err(Problem::internal(&"a handler panicked")),
        Err(_elapsed) => Err(Problem::new(ProblemKind::Unavailable, "the request took too long; try again")),
    }
}

/// How long a request may take: a test send waits for its endpoint.
fn patience(method: &Method, path: &str, usual: Duration) -> Duration {
    if method == Method::POST && path.ends_with("/test") { usual.max(TEST_SEND_TIMEOUT) } else { usual }
}

/// The caller's own id for a request, if it can be one; else a new one.
fn request_id(headers: &HeaderMap, now: Timestamp, rng: &mut impl Rng) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if let Some(given) = given.filter(|it| (1..=MAX_REQUEST_ID_CHARACTERS).contains(&it.len()))
        && given.bytes().all(is_plain)
    {
        return given.to_owned();
    }
    let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    format!("req_{}", Ulid::from_parts(now.as_millis().unsigned_abs(), random).to_string().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn a_callers_request_id_is_kept_if_it_is_one() {
        let long = "x".repeat(65);
        for (given, is_kept) in [("trace-4bf9.1:2_3", true), ("", false), ("a b", false), (&long, false)] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(given).unwrap());
            let id = request_id(&headers, Timestamp::EPOCH, &mut StdRng::seed_from_u64(1));
            assert_eq!((id == given, id.starts_with("req_")), (is_kept, !is_kept), "{given}");
        }
    }

    #[test]
    fn a_test_send_may_take_as_long_as_its_endpoint() {
        let usual = Duration::from_secs(30);
        assert_eq!(patience(&Method::POST, "/v1/endpoints/ep_1/test", usual), TEST_SEND_TIMEOUT);
        assert_eq!(patience(&Method::POST, "/v1/endpoints", usual), usual);
        assert_eq!(patience(&Method::GET, "/v1/endpoints/ep_1/test", usual), usual);
    }
}
