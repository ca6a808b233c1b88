//! An API on a database of the test's own.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use poem::{
    Endpoint, EndpointExt as _, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderMap, Method},
};
use postrider_domain::{ConfigBody, egress::EgressPolicy, seal::KeyRing};
use postrider_kafka::{BrokerClock, Readiness};
use postrider_postgres::{Database, PgPool, connect, connect_service, local::LocalPostgres, migrate, outbox};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use super::fakes::{FakeDeliveries, FakeEvents, FakeHandshakes, FakePublisher, FakeReplays, FakeResolver, FakeTests};
use crate::{
    api::{ApiConfig, ApiState, server::app},
    auth::{
        access::{Access, AccessConfig},
        token::Tokens,
    },
    clock,
    event_schemas::EventSchemas,
    manage::api_keys::create_operator_key,
    security::SecurityLog,
};

static SERVER: OnceCell<LocalPostgres> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Takes texts that begin as PEM does: what is in them is the pipeline's to tell.
fn check_certificates(identity: Option<&[u8]>, authorities: Option<&[u8]>) -> Result<(), String> {
    let good = |pem: &[u8]| pem.starts_with(b"-----BEGIN CERTIFICATE-----");
    if identity.into_iter().chain(authorities).all(good) { Ok(()) } else { Err("this is no certificate".to_owned()) }
}

/// An API, and what is behind it.
pub struct Fixture {
    app: BoxEndpoint<'static, Response>,
    /// The database as its owner sees it.
    pub pool: PgPool,
    /// The database as the API sees it.
    pub database: Database,
    pub publisher: Arc<FakePublisher>,
    pub handshakes: Arc<FakeHandshakes>,
    pub replays: Arc<FakeReplays>,
    pub tests: Arc<FakeTests>,
    pub state: ApiState,
    pub events: Arc<FakeEvents>,
    pub deliveries: Arc<FakeDeliveries>,
    pub key_ring: KeyRing,
    pub broker_clock: BrokerClock,
    pub readiness: Readiness,
    pub access: Access,
    pub security: SecurityLog,
    pub operator_key: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// Its `ETag`, if it has one.
    pub etag: Option<String>,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// The id in the answer.
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.text)).to_owned()
    }

    /// Panics unless the answer is a problem of this status that names `field` (if any).
    pub fn assert_problem(&self, status: u16, field: Option<&str>) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.content_type, "application/problem+json", "{}", self.text);
        assert_eq!(self.body["status"], json!(status), "{}", self.text);
        assert!(self.body["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")), "{}", self.text);
        assert!(self.body["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{}", self.text);
        assert!(!self.body["detail"].as_str().unwrap_or_default().is_empty(), "{}", self.text);
        assert_eq!(self.body["field"].as_str(), field, "{}", self.text);
    }
}

impl Fixture {
    /// An API with an operator key and nothing else.
    pub async fn new() -> Self {
        Self::with(AccessConfig::default(), None).await
    }

    /// The same, with callers told apart and limited so, and these tokens.
    pub async fn with(access: AccessConfig, tokens: Option<Tokens>) -> Self {
        Self::build(access, tokens, ApiConfig::default().request_timeout).await
    }

    /// The same, where requests may take this long.
    pub async fn with_request_timeout(request_timeout: Duration) -> Self {
        Self::build(AccessConfig::default(), None, request_timeout).await
    }

    async fn build(access: AccessConfig, tokens: Option<Tokens>, request_timeout: Duration) -> Self {
        let server = SERVER.get_or_init(|| async { LocalPostgres::start(None).await.expect("Postgres starts") }).await;
        let name = format!("api_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let url = server.create_database(&name).await.expect("a database is made");
        let pool = connect(&url, 4).await.expect("Postgres answers");
        migrate(&pool).await.expect("the migrations apply");
        let database = connect_service(&server.service_url(&name), 4).await.expect("the service can connect");

        let key_ring = KeyRing::parse(&KeyRing::generate_text(&mut StdRng::seed_from_u64(7))).expect("a key ring");
        let mut conn = pool.acquire().await.expect("a connection");
        let (_, operator_key) =
            create_operator_key(&mut conn, &key_ring, "test", None, clock::now(), &mut clock::rng())
                .await
                .expect("a key is made");
        drop(conn);

        let publisher = Arc::new(FakePublisher::default());
        let access = Access::new(access, tokens);
        let security = SecurityLog::default();
        let handshakes = Arc::new(FakeHandshakes::default());
        let replays = Arc::new(FakeReplays::default());
        let tests = Arc::new(FakeTests::default());
        let events = Arc::new(FakeEvents::default());
        let deliveries = Arc::new(FakeDeliveries::default());
        let readiness = Readiness::new();
        let broker_clock = BrokerClock::new(true);
        let state = ApiState {
            pool: database.clone(),
            key_ring: key_ring.clone(),
            egress: EgressPolicy::default(),
            resolver: Arc::new(FakeResolver(HashMap::from([
                ("public.example.com", vec![IpAddr::from([93, 184, 216, 34])]),
                ("inside.example.com", vec![IpAddr::from([93, 184, 216, 34]), IpAddr::from([10, 0, 0, 7])]),
            ]))),
            handshakes: handshakes.clone(),
            event_schemas: EventSchemas::default(),
            publisher: publisher.clone(),
            replays: replays.clone(),
            tests: tests.clone(),
            events: events.clone(),
            deliveries: deliveries.clone(),
            check_certificates,
            broker_clock: broker_clock.clone(),
            access: access.clone(),
            security: security.clone(),
            readiness: readiness.clone(),
            metrics: Arc::new(|| "postrider_up 1\n".to_owned()),
        };
        let config = ApiConfig {
            publish_timeout: Duration::from_millis(200),
            max_body_bytes: 2 << 20,
            cors_origins: vec!["https://app.example.com".to_owned()],
            request_timeout,
            ..ApiConfig::default()
        };
        let app = app(config, state.clone(), TaskTracker::new()).map_to_response().boxed();
        Self {
            app,
            pool,
            database,
            publisher,
            handshakes,
            replays,
            tests,
            state,
            events,
            deliveries,
            key_ring,
            broker_clock,
            readiness,
            access,
            security,
            operator_key: operator_key.to_string(),
        }
    }

    /// Sends any request, and answers what came as it is.
    pub async fn send_raw(&self, request: Request) -> Response {
        self.app.get_response(request).await
    }

    /// Sends any request.
    pub async fn send(&self, request: Request) -> Answer {
        let response = self.send_raw(request).await;
        self.read(response).await
    }

    /// Reads an answer.
    pub async fn read(&self, response: Response) -> Answer {
        let status = response.status().as_u16();
        let content_type = response.content_type().unwrap_or_default().to_owned();
        assert!(response.header("x-request-id").is_some(), "every answer has a request id");
        let etag = response.header("etag").map(ToOwned::to_owned);
        let headers = response.headers().clone();
        let text = response.into_body().into_string().await.expect("UTF-8");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, content_type, etag, headers, body, text }
    }

    /// Sends a JSON request with a key; an operator's names `tenant`.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        key: &str,
        tenant: Option<&str>,
        body: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path.parse().expect("a path"))
            .header("authorization", format!("Bearer {key}"));
        if let Some(tenant) = tenant {
            request = request.header("postrider-tenant", tenant);
        }
        let request = match body {
            Some(body) => request.content_type("application/json").body(body.to_owned()),
            None => request.finish(),
        };
        self.send(request).await
    }

    /// Makes a tenant and a key of its own that may do everything.
    pub async fn tenant(&self, name: &str) -> TenantClient<'_> {
        let body = json!({ "name": name }).to_string();
        let tenant = self.call(Method::POST, "/v1/tenants", &self.operator_key, None, Some(&body)).await;
        assert_eq!(tenant.status, 201, "{}", tenant.text);
        let id = tenant.id();
        let body = json!({ "name": "all", "scopes": ["*"] }).to_string();
        let key = self.call(Method::POST, "/v1/api-keys", &self.operator_key, Some(&id), Some(&body)).await;
        assert_eq!(key.status, 201, "{}", key.text);
        let key = key.body["key"].as_str().expect("the key's text").to_owned();
        TenantClient { fixture: self, id, key }
    }

    /// Everything in the outbox: entity, version, what it is now.
    pub async fn outbox(&self) -> Vec<(String, i64, ConfigBody)> {
        let mut conn = self.pool.acquire().await.expect("a connection");
        let rows = outbox::first(&mut conn, 1_000).await.expect("the outbox is read");
        rows.into_iter().map(|row| (row.entity.to_string(), row.entity_version, row.body)).collect()
    }

    /// The last endpoint in the outbox, with its entity version.
    pub async fn published_endpoint(&self) -> (i64, postrider_domain::Endpoint) {
        let last = self.outbox().await.into_iter().rev().find_map(|(_, version, body)| match body {
            ConfigBody::Endpoint(endpoint) => Some((version, *endpoint)),
            _ => None,
        });
        last.expect("an endpoint was published")
    }
}

/// Calls with a tenant's own key.
pub struct TenantClient<'a> {
    fixture: &'a Fixture,
    pub id: String,
    pub key: String,
}

impl TenantClient<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        self.fixture.call(Method::GET, path, &self.key, None, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, &body.to_string()).await
    }

    pub async fn post_text(&self, path: &str, body: &str) -> Answer {
        self.fixture.call(Method::POST, path, &self.key, None, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.fixture.call(Method::PATCH, path, &self.key, None, Some(&body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.fixture.call(Method::PUT, path, &self.key, None, Some(&body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.fixture.call(Method::DELETE, path, &self.key, None, None).await
    }

    /// Sends a JSON request with `If-Match`.
    pub async fn call_if(&self, method: Method, path: &str, etag: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path.parse().expect("a path"))
            .header("authorization", format!("Bearer {}", self.key))
            .header("if-match", etag);
        let request = match body {
            Some(body) => request.content_type("application/merge-patch+json").body(body.to_string()),
            None => request.finish(),
        };
        self.fixture.send(request).await
    }

    /// Makes an endpoint with one subscription to everything.
    pub async fn endpoint(&self) -> Answer {
        let endpoint =
            json!({ "name": "hook", "url": "https://public.example.com/in?token=s3cret", "event_types": ["*"] });
        let made = self.post("/v1/endpoints", &endpoint).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made
    }
}
