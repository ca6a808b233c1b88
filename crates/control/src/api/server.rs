//! Serving the API: its address and its routes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use poem::{
    Endpoint, EndpointExt as _, Request, Response, Route, Server, get, listener::TcpAcceptor, middleware::Compression,
};
use postrider_kafka::Shutdown;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    docs::{Pages, docs, docs_guide, openapi_json},
    frame::{self, Frame},
    idempotency::KeyedRequest,
    openapi::{RESOURCES, service},
    state::{ApiConfig, ApiState},
};

/// How long connections are given to end once the process stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

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
        // The guide names the address that was taken.
        let listen = listener.local_addr()?;
        Ok(Self { listener, config: ApiConfig { listen, ..config } })
    }

    /// The address taken: the port where the configuration says 0.
    pub fn local_addr(&self) -> Result<SocketAddr, ApiError> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until shutdown: soft lets requests end, hard does not.
    pub async fn run(self, state: ApiState, shutdown: Shutdown) -> Result<(), ApiError> {
        let (security, access, pool) = (state.security.clone(), state.access.clone(), state.pool.clone());
        let executions = TaskTracker::new();
        let app = app(self.config, state, executions.clone());
        let served = Server::new_with_acceptor(TcpAcceptor::from_tokio(self.listener)?).run_with_graceful_shutdown(
            app,
            shutdown.soft.clone().cancelled_owned(),
            Some(DRAIN_TIMEOUT),
        );
        // What is noted of the last requests is written too.
        let over = CancellationToken::new();
        let serving = async {
            let _over = over.clone().drop_guard();
            let served = served.await;
            executions.close();
            executions.wait().await;
            served
        };
        tokio::select! {
            (served, (), ()) = async {
                tokio::join!(serving, security.keep(&pool, over.clone()), access.usage().keep(&pool, over.clone()))
            } => Ok(served?),
            () = shutdown.hard.cancelled() => Ok(()),
        }
    }
}

/// Every route, and what happens around every request.
pub(crate) fn app(
    config: ApiConfig,
    state: ApiState,
    executions: TaskTracker,
) -> impl Endpoint<Output = Response> + 'static {
    let pages = Arc::new(Pages::new(&config));
    let frame = Arc::new(Frame { config: config.clone(), state: state.clone(), executions });
    Route::new()
        .at("/openapi.json", get(openapi_json))
        .at("/docs", get(docs))
        .at("/docs/guide", get(docs_guide))
        .nest("/", service(RESOURCES, config.public_url.as_deref()))
        .data(pages)
        .data(config)
        .data(state)
        .before(async |mut request: Request| {
            KeyedRequest::lend_body(&mut request);
            Ok(request)
        })
        .with(Compression::new()) // of requests' bodies: of answers the frame decides
        .around(move |inner, request| frame::answer(inner, request, Arc::clone(&frame)))
}
