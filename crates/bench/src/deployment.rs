//! Postrider under measurement: the release binary with every role, a tenant, and endpoints that point to the sink.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, stream};
use postrider_testkit::{ApiClient, PostriderCommand, PostriderProcess, create_test_database};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::loader::Loader;
use crate::servers::Servers;
use crate::sink::Sink;
use crate::stopwatch::Stopwatch;

const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Endpoints that are made at a time.
const CONCURRENT_CALLS: usize = 8;

/// What a deployment is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What its topics start with.
    pub prefix: &'static str,
    /// Partitions of its topics.
    pub partitions: u32,
    /// Endpoints, each with an event type of its own.
    pub endpoints: usize,
    /// Added to each endpoint's request.
    pub endpoint: Value,
    /// About how long an event's data is, bytes.
    pub data_bytes: usize,
}

/// A deployment, with its process running or not.
pub struct Deployment {
    plan: Plan,
    config: String,
    key: String,
    ids: Vec<String>,
    process: Option<PostriderProcess>,
    /// Writes its events.
    pub loader: Loader,
}

impl Deployment {
    /// Makes a deployment on `servers` and starts it; events that are written afterwards reach the endpoints.
    pub async fn start(servers: &Servers, sink: &Sink, stopwatch: Stopwatch, plan: Plan) -> anyhow::Result<Self> {
        let database = create_test_database(&servers.postgres).await.context("make a database")?;
        let brokers = servers.kafka.bootstrap_servers();
        let master = command(&["keys", "generate-master"], "").await?;
        let config = configuration(&brokers, &database, plan.prefix, plan.partitions, &master);
        command(&["migrate"], &config).await?;
        let operator = command(&["keys", "create", "--name", "bench"], &config).await?;
        let mut process = serve(&config, &["serve"])?;
        process.wait_ready(READY_LIMIT).await?;
        let operator = ApiClient::new(&process.api_url(), &operator);
        let (tenant, key) = tenant(&operator).await?;
        let api = operator.with_key(&key);
        let made = stream::iter(0..plan.endpoints).map(|number| endpoint(&api, sink, &plan, number));
        let ids: Vec<anyhow::Result<String>> = made.buffered(CONCURRENT_CALLS).collect().await;
        let topic = format!("{}.events", plan.prefix);
        let loader = Loader::new(&brokers, &topic, &tenant, plan.data_bytes, stopwatch)?;
        let ids = ids.into_iter().collect::<anyhow::Result<_>>()?;
        let deployment = Self { plan, config, key, ids, process: Some(process), loader };
        deployment.warm_up(sink).await?;
        Ok(deployment)
    }

    /// The process' id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the process was started").pid()
    }

    /// Stops the process in order.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the process does not run")?;
        let status = process.terminate(STOP_LIMIT).await?;
        ensure!(status.success(), "postrider ended with {status}; it printed:\n{}", process.output());
        Ok(())
    }

    /// Starts the process, and waits until it is ready.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let mut process = serve(&self.config, &["serve"])?;
        process.wait_ready(READY_LIMIT).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Replaces an endpoint by a new one at the same URL; what still waits for the old one ends.
    pub async fn replace_endpoint(&mut self, sink: &Sink, number: usize) -> anyhow::Result<()> {
        let api = ApiClient::new(&self.process.as_ref().context("the process does not run")?.api_url(), &self.key);
        let (status, body) = api.delete(&format!("/v1/endpoints/{}", self.ids[number])).await?;
        ensure!(status.is_success(), "deleting an endpoint was answered with {status}: {body}");
        self.ids[number] = endpoint(&api, sink, &self.plan, number).await?;
        Ok(())
    }

    /// Sends an event through every endpoint: the directory has them all, connections are open, code is in memory.
    pub async fn warm_up(&self, sink: &Sink) -> anyhow::Result<()> {
        const TRIES: u32 = 200;
        const PATIENCE: Duration = Duration::from_millis(150);
        // Changes are published in order: once the last endpoint gets events, all do.
        let mut tries = 0;
        sink.reset();
        while sink.distinct() == 0 {
            tries += 1;
            ensure!(tries < TRIES, "no event came through");
            self.loader.write_one(self.plan.endpoints - 1).await?;
            let _ = sink.wait_for(1, PATIENCE).await; // the next event may
        }
        sink.settle(Duration::from_secs(1)).await;
        sink.reset();
        let batch = crate::loader::Batch { count: self.plan.endpoints * 3, endpoints: self.plan.endpoints };
        self.loader.write_backlog(batch).await?;
        sink.wait_for(batch.count as u64, Duration::from_secs(20)).await.context("warm up")?;
        sink.reset();
        Ok(())
    }
}

/// The configuration of a deployment.
pub fn configuration(brokers: &str, database: &str, prefix: &str, partitions: u32, master_keys: &str) -> String {
    format!(
        r#"
        [kafka]
        bootstrap_servers = "{brokers}"
        topic_prefix = "{prefix}"
        [topics]
        partitions = {partitions}
        [postgres]
        url = "{database}"
        [security]
        master_keys = "{master_keys}"
        [egress]
        allow_http = true
        allowed_networks = ["127.0.0.0/8"]
        [shutdown]
        drain = "2s"
        [log]
        format = "text"
        "#
    )
}

/// Starts a process with these arguments.
pub fn serve(config: &str, arguments: &[&str]) -> anyhow::Result<PostriderProcess> {
    PostriderProcess::start(&PostriderCommand {
        program: binary()?,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        config: config.to_owned(),
        environment: Vec::new(),
    })
}

/// The release binary, beside this program.
pub fn binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("find this program's own path")?;
    let program = this.with_file_name("postrider");
    ensure!(program.is_file(), "there is no {}: run `make bench`", program.display());
    Ok(program)
}

/// Runs a command of the binary that ends by itself; answers the last line that it prints.
pub async fn command(arguments: &[&str], config: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir().context("make a folder")?;
    write_config(folder.path(), config)?;
    let output = Command::new(binary()?)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("run postrider {}", arguments.join(" ")))?;
    if !output.status.success() {
        bail!("postrider {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn write_config(folder: &Path, config: &str) -> anyhow::Result<()> {
    if config.is_empty() {
        return Ok(());
    }
    std::fs::write(folder.join("postrider.toml"), config).context("write the configuration")
}

/// A tenant and a key of it that may do everything.
pub async fn tenant(operator: &ApiClient) -> anyhow::Result<(String, String)> {
    let (status, tenant) = operator.post("/v1/tenants", &json!({"name": "Bench"})).await?;
    ensure!(status == StatusCode::CREATED, "making a tenant was answered with {status}: {tenant}");
    let id = tenant["id"].as_str().context("a tenant has an id")?.to_owned();
    let request = operator.request(Method::POST, "/v1/api-keys").header("Postrider-Tenant", &id);
    let answer = request.json(&json!({"name": "bench", "scopes": ["*"]})).send().await.context("make a key")?;
    let body: Value = answer.json().await.context("make a key")?;
    Ok((id, body["key"].as_str().with_context(|| format!("no key: {body}"))?.to_owned()))
}

async fn endpoint(api: &ApiClient, sink: &Sink, plan: &Plan, number: usize) -> anyhow::Result<String> {
    let mut request = json!({
        "name": format!("endpoint {number}"),
        "url": sink.url(number),
        "event_types": [Loader::event_type(number)],
    });
    if let (Some(request), Some(more)) = (request.as_object_mut(), plan.endpoint.as_object()) {
        request.extend(more.clone());
    }
    let (status, body) = api.post("/v1/endpoints", &request).await?;
    ensure!(status == StatusCode::CREATED, "making an endpoint was answered with {status}: {body}");
    Ok(body["id"].as_str().context("an endpoint has an id")?.to_owned())
}
