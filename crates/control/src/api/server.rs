//! Serving the API: routes, and what happens around every request.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use poem::{
    Endpoint, EndpointExt as _, IntoResponse, Request, Response, Route, Server, get, handler,
    http::{HeaderValue, header},
    listener::TcpAcceptor,
    web::{Data, Html},
};
use postrider_domain::Timestamp;
use postrider_kafka::Shutdown;
use rand::Rng;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{
    openapi::{RESOURCES, docs_page, document, service},
    problem::{Problem, ProblemKind},
    state::{ApiConfig, ApiState},
    unread::Unread,
};
use crate::clock;

/// How long connections are given to end once the process stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What the page may load: nothing from elsewhere. Its script is inline, and part of it compiles schemas.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; \
                           style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'";

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address can't be listened on.
    #[error("can't listen on {address} for the API: {source}; choose another api.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Accepting connections failed.
    #[error("the API can't accept connections: {0}")]
    Accept(#[from] std::io::Error),
}

/// The API, listening but not yet served.
pub struct Api {
    listener: TcpListener,
    config: ApiConfig,
}

/// Listens and serves until shutdown.
pub async fn serve(config: ApiConfig, state: ApiState, shutdown: Shutdown) -> Result<(), ApiError> {
    Api::bind(config).await?.run(state, shutdown).await
}

impl Api {
    /// Takes the configured address.
    pub async fn bind(config: ApiConfig) -> Result<Self, ApiError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| ApiError::Listen { address, source })?;
        Ok(Self { listener, config })
    }

    /// The address taken: the port where the configuration says 0.
    pub fn local_addr(&self) -> Result<SocketAddr, ApiError> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until shutdown: soft lets requests end, hard does not.
    pub async fn run(self, state: ApiState, shutdown: Shutdown) -> Result<(), ApiError> {
        let (security, pool) = (state.security.clone(), state.pool.clone());
        let app = app(self.config, state);
        let served = Server::new_with_acceptor(TcpAcceptor::from_tokio(self.listener)?).run_with_graceful_shutdown(
            app,
            shutdown.soft.clone().cancelled_owned(),
            Some(DRAIN_TIMEOUT),
        );
        // What is noted of the last requests is written too.
        let over = CancellationToken::new();
        let serving = async {
            let _over = over.clone().drop_guard();
            served.await
        };
        tokio::select! {
            (served, ()) = async { tokio::join!(serving, security.keep(&pool, over.clone())) } => Ok(served?),
            () = shutdown.hard.cancelled() => Ok(()),
        }
    }
}

/// Every route, and what happens around every request.
pub(crate) fn app(config: ApiConfig, state: ApiState) -> impl Endpoint<Output = Response> + 'static {
    let pages = Arc::new(Pages {
        document: document(config.public_url.as_deref()),
        docs: docs_page(config.public_url.as_deref()),
    });
    let request_timeout = config.request_timeout;
    Route::new()
        .at("/openapi.json", get(openapi_json))
        .at("/docs", get(docs))
        .nest("/", service(RESOURCES, config.public_url.as_deref()))
        .data(pages)
        .data(config)
        .data(state)
        .around(move |inner, request| answer(inner, request, request_timeout))
}

/// What does not change while the process runs.
struct Pages {
    document: String,
    docs: String,
}

#[handler]
fn openapi_json(Data(pages): Data<&Arc<Pages>>) -> Response {
    pages.document.clone().with_content_type("application/json").into_response()
}

#[handler]
fn docs(Data(pages): Data<&Arc<Pages>>) -> Response {
    Html(pages.docs.clone()).with_header(header::CONTENT_SECURITY_POLICY, DOCS_POLICY).into_response()
}

/// Answers a request whatever happens: errors, panics and requests that take too long become problems.
async fn answer<E: Endpoint>(inner: Arc<E>, mut request: Request, patience: Duration) -> poem::Result<Response> {
    let request_id = request_id(clock::now(), &mut clock::rng());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let unread = Unread::of(&mut request);
    let outcome = tokio::time::timeout(patience, AssertUnwindSafe(inner.call(request)).catch_unwind()).await;
    let result = match outcome {
        Ok(Ok(Ok(response))) => Ok(response.into_response()),
        Ok(Ok(Err(error))) => Err(Problem::from_error(&error)),
        Ok(Err(_panic)) => Err(Problem::internal(&"a handler panicked")),
        Err(_elapsed) => Err(Problem::new(ProblemKind::Unavailable, "the request took too long; try again")),
    };
    let mut response = result.unwrap_or_else(|problem| problem.into_answer(&request_id));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    if !unread.drain().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status();
    let elapsed = begun.elapsed();
    let labels = [("method", method.to_string()), ("status", status.as_str().to_owned())];
    metrics::counter!("postrider_api_requests_total", &labels).increment(1);
    metrics::histogram!("postrider_api_request_seconds", "method" => method.to_string()).record(elapsed.as_secs_f64());
    tracing::debug!(request_id, %method, path, status = status.as_u16(), ?elapsed, "API request");
    Ok(response)
}

fn request_id(now: Timestamp, rng: &mut impl Rng) -> String {
    let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    format!("req_{}", Ulid::from_parts(now.as_millis().unsigned_abs(), random).to_string().to_ascii_lowercase())
}
