//! The deployment under measurement: tenants and their endpoints, made over the API.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use postrider_testkit::{ApiClient, KafkaCluster, LocalPostgres, PostriderProcess, run_script};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use super::dataset::{self, Size, event_type};
use crate::deployment::{command, configuration, serve, tenant};

/// What its topics start with.
pub const PREFIX: &str = "control";
/// Partitions of its topics.
pub const PARTITIONS: u32 = 6;
const READY_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const PUBLISHED_LIMIT: Duration = Duration::from_mins(5);
/// Endpoints that are made at a time.
const CONCURRENT_CALLS: usize = 16;
/// The largest tenant has one in so many of the endpoints.
const LARGEST_SHARE: usize = 10;
/// How many endpoints the others have.
const SMALL_TENANT: usize = 100;
/// Endpoints that are made one after the other are so many apart, so that they are of different tenants: those of one
/// wait for each other. Shares no factor with any round number.
const STRIDE: usize = 6_151;
/// What the database of the set is called.
const DATABASE: &str = "bench";
/// What is known of a set that was kept, in its folder.
const KEPT: &str = "set.json";
/// A database that is filled: were it to crash, it would be made anew.
const FILLING: [&str; 8] = [
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "maintenance_work_mem=512MB",
];
/// A database that is to be relied on, and that uses the machine.
const SERVING: [&str; 8] = [
    "fsync=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "effective_cache_size=4GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=15min",
    "wal_compression=lz4",
    "maintenance_work_mem=256MB",
];

/// A deployment, with its process running or not.
pub struct Plane {
    kafka: KafkaCluster,
    postgres: LocalPostgres,
    config: String,
    set: Set,
    process: Option<PostriderProcess>,
    /// The database's URL.
    pub database: String,
}

/// What is to be known of a set to work on it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Set {
    size: Size,
    master_keys: String,
    operator_key: String,
    /// The largest tenant's id, and a key of it.
    largest: (String, String),
}

impl Plane {
    /// Starts servers with a set of this size: that which was kept in `keep`, or a new one, which is kept there.
    pub async fn start(size: Size, keep: Option<&Path>) -> anyhow::Result<Self> {
        let kept = keep.map(|folder| read(folder, size)).transpose()?.flatten();
        let settings = if kept.is_some() { &SERVING } else { &FILLING };
        let folder = keep.map(Path::to_owned);
        let (kafka, postgres) =
            tokio::join!(KafkaCluster::start_as_shipped(1), LocalPostgres::start_with(folder, settings));
        let (kafka, postgres) = (kafka.context("start Kafka")?, postgres.context("start Postgres")?);
        match kept {
            Some(set) => Self::resume(kafka, postgres, set).await,
            None => Self::make(kafka, postgres, size, keep.map(|folder| folder.join(KEPT))).await,
        }
    }

    /// Goes on with a set that was kept. Kafka knows nothing of it: it is published and read from the beginning, so the
    /// directory has only what is edited from now on.
    async fn resume(kafka: KafkaCluster, postgres: LocalPostgres, set: Set) -> anyhow::Result<Self> {
        let plane = Self::new(kafka, postgres, set);
        command(&["migrate"], &plane.config).await?;
        plane
            .sql(
                "DELETE FROM projector_offsets; DELETE FROM outbox; DELETE FROM directory_entities;
                  UPDATE relay_state SET epoch = 1, seq = 0, reserved_seq = 0, live = 0",
            )
            .await?;
        Ok(plane)
    }

    /// Makes a set and what is known of it.
    async fn make(
        kafka: KafkaCluster,
        postgres: LocalPostgres,
        size: Size,
        kept: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        postgres.create_database(DATABASE).await.context("make a database")?;
        let master_keys = command(&["keys", "generate-master"], "").await?;
        let set = Set { size, master_keys, operator_key: String::new(), largest: (String::new(), String::new()) };
        let mut plane = Self::new(kafka, postgres, set);
        command(&["migrate"], &plane.config).await?;
        plane.set.operator_key = command(&["keys", "create", "--name", "bench"], &plane.config).await?;
        plane.serve("api,relay").await?;
        plane.set.largest = tenant(&plane.operator()?).await?;
        println!("{} endpoints, made over the API …", size.endpoints);
        plane.make_endpoints(size.endpoints).await?;
        plane.published().await?;
        plane.stop_process().await?;
        println!("a month of {} deliveries, and counts of {} …", size.deliveries, size.counted);
        dataset::fill(&plane, size).await?;
        plane.postgres.restart_with(&SERVING).await.context("restart Postgres")?;
        // What the measurements find is on the disk, not on its way there.
        ensure!(Command::new("sync").status().await.context("run sync")?.success(), "sync failed");
        if let Some(file) = kept {
            std::fs::write(&file, serde_json::to_vec(&plane.set)?)
                .with_context(|| format!("write {}", file.display()))?;
        }
        Ok(plane)
    }

    fn new(kafka: KafkaCluster, postgres: LocalPostgres, set: Set) -> Self {
        let database = postgres.socket_url(DATABASE);
        let config = configuration(&kafka.bootstrap_servers(), &database, PREFIX, PARTITIONS, &set.master_keys);
        Self { kafka, postgres, config, set, process: None, database }
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
        Ok(ApiClient::new(&process.api_url(), &self.set.operator_key))
    }

    /// The API as the largest tenant calls it.
    pub fn tenant(&self) -> anyhow::Result<ApiClient> {
        Ok(self.operator()?.with_key(&self.set.largest.1))
    }

    /// The largest tenant's id.
    pub fn largest(&self) -> &str {
        &self.set.largest.0
    }

    /// Waits until everything that was changed is published and chained.
    pub async fn published(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PUBLISHED_LIMIT;
        while self.number("SELECT ((SELECT count(*) FROM outbox) + (SELECT count(*) FROM audit_pending))::text").await?
            > 0
        {
            ensure!(Instant::now() < deadline, "changes are not published");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
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

    /// The time so long ago, as queries take it.
    pub async fn time(&self, ago: &str) -> anyhow::Result<String> {
        let sql =
            format!("SELECT to_char((now() - interval '{ago}') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
        self.sql(&sql).await?.pop().context("a time")
    }

    /// Runs a command of the binary beside the deployment.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        command(arguments, &self.config).await
    }

    /// Gives the largest tenant its endpoints first, then small tenants theirs.
    async fn make_endpoints(&self, endpoints: usize) -> anyhow::Result<()> {
        let operator = self.operator()?;
        let large = endpoints / LARGEST_SHARE;
        let small = (endpoints - large).div_ceil(SMALL_TENANT);
        let mut tenants = vec![(self.largest().to_owned(), large)];
        let made = stream::iter(0..small).map(|number| small_tenant(&operator, number));
        let ids: Vec<String> = made.buffered(CONCURRENT_CALLS).try_collect().await?;
        tenants.extend(ids.into_iter().map(|id| (id, SMALL_TENANT)));
        let owners: Vec<&String> =
            tenants.iter().flat_map(|(id, count)| std::iter::repeat_n(id, *count)).take(endpoints).collect();
        let done = AtomicUsize::new(0);
        let calls = stream::iter(0..endpoints).map(async |step| {
            let number = step * STRIDE % endpoints;
            let made = endpoint(&operator, owners[number], number).await;
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
        "event_types": [event_type(number)],
    });
    let request = operator.request(Method::POST, "/v1/endpoints").header("Postrider-Tenant", tenant).json(&body);
    let answer = request.send().await.context("make an endpoint")?;
    let status = answer.status();
    let body: Value = answer.json().await.context("make an endpoint")?;
    ensure!(status == StatusCode::CREATED, "making an endpoint was answered with {status}: {body}");
    Ok(())
}

/// What is known of the set that was kept in a folder; none if none was. It must be of this size.
fn read(folder: &Path, size: Size) -> anyhow::Result<Option<Set>> {
    let file = folder.join(KEPT);
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let set: Set = serde_json::from_slice(&text).with_context(|| format!("read {}", file.display()))?;
    ensure!(set.size == size, "the set in {} is of another size: {:?}; delete it", folder.display(), set.size);
    Ok(Some(set))
}
