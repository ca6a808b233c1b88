//! The deployment under measurement: tenants and their endpoints, made over the API.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use postrider_testkit::{ApiClient, KafkaCluster, LocalPostgres, PostriderProcess, create_test_database, run_script};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::deployment::{command, configuration, serve, tenant};

/// What its topics start with.
pub const PREFIX: &str = "control";
/// Partitions of its topics.
pub const PARTITIONS: u32 = 6;
const READY_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Endpoints that are made at a time.
const CONCURRENT_CALLS: usize = 16;
/// The largest tenant has one in so many of the endpoints.
const LARGEST_SHARE: usize = 10;
/// How many endpoints the others have.
const SMALL_TENANT: usize = 100;
/// A database that is to be relied on, and that uses the machine.
const SETTINGS: [&str; 8] = [
    "fsync=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "effective_cache_size=4GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=15min",
    "wal_compression=on",
    "maintenance_work_mem=256MB",
];

/// A deployment, with its process running or not.
pub struct Plane {
    kafka: KafkaCluster,
    postgres: LocalPostgres,
    config: String,
    operator_key: String,
    process: Option<PostriderProcess>,
    /// The database's URL.
    pub database: String,
    /// The largest tenant's id, and a key of it.
    pub largest: (String, String),
}

impl Plane {
    /// Starts servers and a process of all roles, and makes tenants and endpoints.
    pub async fn start(endpoints: usize) -> anyhow::Result<Self> {
        let (kafka, postgres) =
            tokio::join!(KafkaCluster::start_as_shipped(1), LocalPostgres::start_with(None, &SETTINGS));
        let (kafka, postgres) = (kafka.context("start Kafka")?, postgres.context("start Postgres")?);
        let database = create_test_database(&postgres).await.context("make a database")?;
        let master = command(&["keys", "generate-master"], "").await?;
        let config = configuration(&kafka.bootstrap_servers(), &database, PREFIX, PARTITIONS, &master);
        command(&["migrate"], &config).await?;
        let operator_key = command(&["keys", "create", "--name", "bench"], &config).await?;
        let largest = (String::new(), String::new());
        let mut plane = Self { kafka, postgres, config, operator_key, process: None, database, largest };
        plane.serve("api,relay").await?;
        plane.largest = tenant(&plane.operator()?).await?;
        plane.make_endpoints(endpoints).await?;
        Ok(plane)
    }

    /// The brokers.
    pub fn brokers(&self) -> String {
        self.kafka.bootstrap_servers()
    }

    /// Starts a process with these roles in the place of the one that runs, and waits until it is ready.
    pub async fn serve(&mut self, roles: &str) -> anyhow::Result<()> {
        self.stop_process().await?;
        let mut process = serve(&self.config, &["serve", "--roles", roles])?;
        process.wait_ready(READY_LIMIT).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the process in order, if one runs.
    pub async fn stop_process(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let status = process.terminate(STOP_LIMIT).await?;
        ensure!(status.success(), "postrider ended with {status}; it printed:\n{}", process.output());
        Ok(())
    }

    /// Stops everything.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_process().await?;
        let (kafka, postgres) = tokio::join!(self.kafka.stop(), self.postgres.stop());
        kafka.context("stop Kafka")?;
        postgres.context("stop Postgres")
    }

    /// The API as operators call it.
    pub fn operator(&self) -> anyhow::Result<ApiClient> {
        let process = self.process.as_ref().context("no process runs")?;
        Ok(ApiClient::new(&process.api_url(), &self.operator_key))
    }

    /// The API as the largest tenant calls it.
    pub fn tenant(&self) -> anyhow::Result<ApiClient> {
        Ok(self.operator()?.with_key(&self.largest.1))
    }

    /// Runs SQL; answers its first column.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        run_script(&self.database, sql)
            .await
            .with_context(|| format!("run {}", sql.chars().take(200).collect::<String>()))
    }

    /// Runs SQL that answers one number.
    pub async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let rows = self.sql(sql).await?;
        rows.first().context("an answer")?.parse().context("a number")
    }

    /// Gives the largest tenant its endpoints first, then small tenants theirs.
    async fn make_endpoints(&self, endpoints: usize) -> anyhow::Result<()> {
        let operator = self.operator()?;
        let large = endpoints / LARGEST_SHARE;
        let small = (endpoints - large).div_ceil(SMALL_TENANT);
        let mut tenants = vec![(self.largest.0.clone(), large)];
        let made = stream::iter(0..small).map(|number| small_tenant(&operator, number));
        let ids: Vec<String> = made.buffered(CONCURRENT_CALLS).try_collect().await?;
        tenants.extend(ids.into_iter().map(|id| (id, SMALL_TENANT)));
        let owners = tenants.iter().flat_map(|(id, count)| std::iter::repeat_n(id, *count)).take(endpoints);
        let done = AtomicUsize::new(0);
        let calls = stream::iter(owners.enumerate()).map(async |(number, tenant)| {
            let made = endpoint(&operator, tenant, number).await;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(20_000) {
                println!("  {done} endpoints");
            }
            made
        });
        calls.buffer_unordered(CONCURRENT_CALLS).try_collect().await
    }
}

async fn small_tenant(operator: &ApiClient, number: usize) -> anyhow::Result<String> {
    let (status, body) = operator.post("/v1/tenants", &json!({ "name": format!("tenant {number}") })).await?;
    ensure!(status == StatusCode::CREATED, "making a tenant was answered with {status}: {body}");
    Ok(body["id"].as_str().context("a tenant has an id")?.to_owned())
}

async fn endpoint(operator: &ApiClient, tenant: &str, number: usize) -> anyhow::Result<()> {
    let body = json!({
        "name": format!("endpoint {number}"),
        "url": format!("http://127.0.0.1:9/{number}"),
        "event_types": [format!("order.{number}")],
    });
    let request = operator.request(Method::POST, "/v1/endpoints").header("Postrider-Tenant", tenant).json(&body);
    let answer = request.send().await.context("make an endpoint")?;
    let status = answer.status();
    let body: Value = answer.json().await.context("make an endpoint")?;
    ensure!(status == StatusCode::CREATED, "making an endpoint was answered with {status}: {body}");
    Ok(())
}
