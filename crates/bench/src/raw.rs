//! The limit that Postrider is measured beside: a process that does nothing but sign and POST, with reqwest.
//!
//! It runs as a process of its own (`bench raw …`), so that its CPU time is its own.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use postrider_domain::signing::{SigningSecret, signature_header};
use postrider_testkit::{http_client, usage::cpu_time};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A key for signatures that nobody verifies.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Any time will do: it is only signed.
const TIMESTAMP: i64 = 1_700_000_000;

/// How to post.
#[derive(Debug, Clone, clap::Args)]
pub struct RawOptions {
    /// Where to.
    #[arg(long)]
    pub url: String,
    /// How many requests.
    #[arg(long)]
    pub count: usize,
    /// How many at the same time.
    #[arg(long)]
    pub in_flight: usize,
    /// How many a second; as fast as it goes if not given.
    #[arg(long)]
    pub per_second: Option<u32>,
    /// About how long the body's data is.
    #[arg(long)]
    pub data_bytes: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct RawResult {
    /// Requests a second.
    pub per_second: f64,
    /// CPU time of each.
    pub cpu: Duration,
}

/// Runs a loop in a process of its own.
pub async fn measure(options: &RawOptions) -> anyhow::Result<RawResult> {
    let mut command = Command::new(std::env::current_exe().context("find this program's own path")?);
    command.args(["raw", "--url", &options.url]);
    command.args(["--count", &options.count.to_string(), "--in-flight", &options.in_flight.to_string()]);
    command.args(["--data-bytes", &options.data_bytes.to_string()]);
    if let Some(rate) = options.per_second {
        command.args(["--per-second", &rate.to_string()]);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await;
    let output = output.context("run the raw loop")?;
    ensure!(output.status.success(), "the raw loop ended with {}", output.status);
    let said: Value = serde_json::from_slice(&output.stdout).context("read what the raw loop says")?;
    let number = |name: &str| said[name].as_f64().with_context(|| format!("the raw loop says no {name}"));
    Ok(RawResult { per_second: number("per_second")?, cpu: Duration::from_secs_f64(number("cpu_seconds")?) })
}

/// The loop itself; prints what it measured.
pub async fn run(options: &RawOptions) -> anyhow::Result<()> {
    let client = http_client();
    let secret = SigningSecret::parse(SECRET).context("take the secret")?;
    let body = format!(
        r#"{{"type":"order.0","timestamp":"2026-01-01T00:00:00.000Z","data":{{"padding":"{}"}}}}"#,
        "x".repeat(options.data_bytes)
    );
    let (body, pid) = (Bytes::from(body), std::process::id());
    let (begun, cpu_before) = (Instant::now(), cpu_time(pid));
    let mut pace = options.per_second.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    let mut posts = JoinSet::new();
    for number in 0..options.count {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        if posts.len() >= options.in_flight {
            posts.join_next().await.expect("there are some")??;
        }
        let (client, secret, body, url) = (client.clone(), secret.clone(), body.clone(), options.url.clone());
        posts.spawn(async move { post(&client, &secret, body, &url, number).await });
    }
    while let Some(posted) = posts.join_next().await {
        posted??;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    let count = options.count as f64;
    let cpu = cpu_time(pid).saturating_sub(cpu_before).as_secs_f64() / count;
    println!("{}", json!({"per_second": count / begun.elapsed().as_secs_f64(), "cpu_seconds": cpu}));
    Ok(())
}

async fn post(
    client: &reqwest::Client,
    secret: &SigningSecret,
    body: Bytes,
    url: &str,
    number: usize,
) -> anyhow::Result<()> {
    let id = format!("msg_{number}");
    let signature = signature_header(std::slice::from_ref(secret), &id, TIMESTAMP, &body);
    let request = client.post(url).header("content-type", "application/json").header("webhook-id", &id);
    let request = request.header("webhook-timestamp", TIMESTAMP).header("webhook-signature", signature);
    let answer = request.body(body).send().await.context("post")?;
    answer.bytes().await.context("read the answer")?;
    Ok(())
}
