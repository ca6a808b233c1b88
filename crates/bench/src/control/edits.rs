//! How soon an edit reaches the data plane while many are made.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use futures::future::try_join_all;
use parking_lot::Mutex;
use postrider_domain::{ConfigBody, ConfigEntry};
use postrider_kafka::{Codec, KafkaConfig, TableEvent, TableReader};
use postrider_testkit::ApiClient;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::plane::{PREFIX, Plane};
use super::target::Target;

/// Edits a second.
const RATE: u32 = 1_000;
const EDITORS: u32 = 32;
/// The shortest time-out that an endpoint may have: each edit makes its endpoint's a millisecond longer, so that it can
/// be told from the others.
const FIRST_TIMEOUT_MS: u32 = 1_000;
const PATIENCE: Duration = Duration::from_mins(1);
const LIMIT_MS: f64 = 1_000.0;
/// How long after the last edit its record is chained.
const CHAIN_LIMIT_S: f64 = 5.0;
/// Records of the audit log that are checked in a second.
const VERIFY_LIMIT: f64 = 10_000.0;
/// A little below the rate: the pace is kept, the last edits are answered after the end.
const RATE_LIMIT: f64 = 990.0;

/// An edit: which endpoint, and its time-out from then on.
type Edit = (String, u32);
/// When edits arrived.
type Arrivals = Arc<Mutex<HashMap<Edit, Instant>>>;

/// Edits endpoints for so long at a steady pace, and reads what reaches the directory's topic as every data-plane process
/// does. A process with API and relay runs.
pub async fn measure(plane: &Plane, length: Duration) -> anyhow::Result<Vec<Target>> {
    let endpoints = plane
        .sql(&format!(
            "SELECT id FROM bench_endpoints WHERE tenant_id = '{}' ORDER BY number DESC LIMIT 4000",
            plane.largest()
        ))
        .await?;
    let arrivals = Arrivals::default();
    let ready = Arc::new(tokio::sync::Notify::new());
    let reader = tokio::spawn(follow(plane.brokers(), arrivals.clone(), ready.clone()));
    tokio::time::timeout(PATIENCE, ready.notified()).await.context("read the directory's topic")?;

    let api = plane.tenant()?;
    let begun = Instant::now();
    let share = endpoints.len().div_ceil(EDITORS as usize);
    let editors = endpoints.chunks(share).map(|own| edit(&api, own, begun + length));
    let sent: Vec<(Edit, Instant)> = try_join_all(editors).await?.into_iter().flatten().collect();
    #[expect(clippy::cast_precision_loss, reason = "edits are below 2^52")]
    let rate = sent.len() as f64 / begun.elapsed().as_secs_f64();
    let ended = Instant::now();
    let chained = chain_caught_up(plane, ended).await?;
    let deadline = ended + PATIENCE;
    while sent.iter().any(|(edit, _)| !arrivals.lock().contains_key(edit)) {
        ensure!(Instant::now() < deadline, "edits have not reached the directory's topic");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    reader.abort();
    let mut delays: Vec<Duration> = {
        let arrivals = arrivals.lock();
        sent.iter().map(|(edit, at)| arrivals[edit].saturating_duration_since(*at)).collect()
    };
    delays.sort_unstable();
    let late = delays[(delays.len() * 99).div_ceil(100) - 1];
    println!("  {rate:.0} edits/s; half arrive within {:?}, 99 of 100 within {late:?}", delays[delays.len() / 2]);
    Ok(vec![
        Target::at_least("edits-per-s", rate, RATE_LIMIT),
        Target::at_most("edit-to-data-plane-p99-ms", late.as_secs_f64() * 1_000.0, LIMIT_MS),
        Target::at_most("audit-chain-behind-s", chained.as_secs_f64(), CHAIN_LIMIT_S),
        verify(plane).await?,
    ])
}

/// Checks every record of the audit log against its link of the chain, as operators do.
async fn verify(plane: &Plane) -> anyhow::Result<Target> {
    let begun = Instant::now();
    let printed = plane.command(&["audit", "verify", "--output", "json"]).await?;
    let took = begun.elapsed();
    let verdict: Value = serde_json::from_str(&printed).with_context(|| format!("read {printed}"))?;
    let links = verdict["links"].as_u64().context("a number of links")?;
    #[expect(clippy::cast_precision_loss, reason = "links are below 2^52")]
    let rate = links as f64 / took.as_secs_f64();
    println!("  {links} records of the audit log verified in {took:.1?}");
    Ok(Target::at_least("audit-verified-records-per-s", rate, VERIFY_LIMIT))
}

/// How long after `ended` every record of the audit log was chained.
async fn chain_caught_up(plane: &Plane, ended: Instant) -> anyhow::Result<Duration> {
    while plane.number("SELECT count(*)::text FROM audit_pending").await? > 0 && ended.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(ended.elapsed())
}

/// Edits endpoints in turn, at its share of the pace; answers what it did and when it began to.
async fn edit(api: &ApiClient, endpoints: &[String], until: Instant) -> anyhow::Result<Vec<(Edit, Instant)>> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) * EDITORS / RATE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = Vec::new();
    for timeout_ms in FIRST_TIMEOUT_MS.. {
        for endpoint in endpoints {
            pace.tick().await;
            let begun = Instant::now();
            if begun >= until {
                return Ok(sent);
            }
            let (status, body) =
                api.patch(&format!("/v1/endpoints/{endpoint}"), &json!({ "timeout_ms": timeout_ms })).await?;
            ensure!(status == StatusCode::OK, "an edit was answered with {status}: {body}");
            sent.push(((endpoint.clone(), timeout_ms), begun));
        }
    }
    Ok(sent)
}

/// Notes when edits arrive; `ready` once it has read what was there before.
async fn follow(brokers: String, arrivals: Arrivals, ready: Arc<tokio::sync::Notify>) -> anyhow::Result<()> {
    let kafka = KafkaConfig {
        bootstrap_servers: brokers,
        properties: BTreeMap::new(),
        client_id: "bench".to_owned(),
        instance_id: None,
        embedded: false,
    };
    let codec = Codec::new();
    let mut reader = TableReader::start(&kafka, &format!("{PREFIX}.config"))
        .map_err(|why| anyhow!("read the directory's topic: {why}"))?;
    let mut caught_up = false;
    while let Some(event) = reader.next().await {
        match event {
            TableEvent::EndOfPartition => {
                caught_up = true;
                ready.notify_one();
            }
            TableEvent::Record(record) if caught_up => {
                let at = Instant::now();
                let entry = record.value.as_ref().and_then(|value| codec.decode::<ConfigEntry>(value).ok());
                if let Some(ConfigEntry { body: ConfigBody::Endpoint(endpoint), .. }) = entry {
                    arrivals.lock().entry((endpoint.id.to_string(), endpoint.timeout_ms)).or_insert(at);
                }
            }
            TableEvent::Record(_) | TableEvent::Shrunk => {}
        }
    }
    Ok(())
}
