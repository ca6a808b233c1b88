//! Postgres is killed amid changes and the writing of the log: each change is there whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use postrider_domain::{ConfigBody, ConfigEntry, ConfigMarker};
use postrider_kafka::Codec;
use postrider_testkit::{ApiClient, LocalPostgres, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Context, Deployment, Hook, LIMIT, Stream, Tenant, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![changes_and_log_are_whole_after_postgres_was_killed_three_times]
}

const KILLS: usize = 3;
const PER_SECOND: u32 = 100;
const WRITERS: usize = 3;
/// How often each endpoint is renamed: `w-0`, `w-1`, …
const RENAMES: usize = 2;

async fn changes_and_log_are_whole_after_postgres_was_killed_three_times(context: Context) {
    let mut postgres = LocalPostgres::start(None).await.unwrap();
    let database = postgres.create_database("postrider").await.unwrap();
    let mut deployment = Deployment::prepare_on(&context, "killed", &database, "").await;
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({"event_types": ["order.*"]})).await;
    deployment.synced().await;

    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    let changes = Changes::start(&tenant, &receiver.url("/never"));
    for _ in 0..KILLS {
        changes.more(15).await;
        postgres.kill().await.unwrap();
        hook.wait_for(hook.count() + 30).await;
        postgres.restart().await.unwrap();
    }
    changes.more(15).await;
    let acknowledged = changes.stop().await;
    let ledger = stream.compare(&receiver, "/orders").await;
    assert_eq!(ledger.duplicates(), 0, "the data plane never noticed");

    let endpoints = tenant.list("/v1/endpoints?limit=100").await;
    let endpoints: BTreeMap<String, usize> =
        endpoints.iter().filter(|it| it["id"] != hook.id.as_str()).map(renames).collect();
    for (id, renamed) in &acknowledged {
        match renamed {
            Some(renamed) => assert!(endpoints.get(id) >= Some(renamed), "{id}: {:?} < {renamed}", endpoints.get(id)),
            None => assert!(!endpoints.contains_key(id), "{id} was deleted, and is there"),
        }
    }
    every_change_is_whole(&tenant, &hook.id, &endpoints).await;
    the_directory_has_the_same(&deployment, &hook.id, &endpoints).await;
    the_log_is_complete(&tenant, &hook.id, ledger.written).await;

    let verified = postrider(&["audit", "verify"], Some(&deployment.settings.to_text()), &[]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
}

/// An endpoint's id and how often it was renamed.
fn renames(endpoint: &Value) -> (String, usize) {
    let renamed = endpoint["name"].as_str().unwrap().strip_prefix("w-").unwrap().parse().unwrap();
    (endpoint["id"].as_str().unwrap().to_owned(), renamed)
}

/// Each endpoint has its subscription and a record for each of its changes, and nothing else has.
async fn every_change_is_whole(tenant: &Tenant, hook: &str, endpoints: &BTreeMap<String, usize>) {
    let subscriptions = tenant.list("/v1/subscriptions?limit=100").await;
    let owners: Vec<&str> = subscriptions.iter().map(|it| it["endpoint_id"].as_str().unwrap()).collect();
    let distinct: BTreeSet<&str> = owners.iter().copied().filter(|id| *id != hook).collect();
    assert_eq!((owners.len(), distinct.len()), (endpoints.len() + 1, endpoints.len()));
    assert!(distinct.iter().all(|id| endpoints.contains_key(*id)));

    let records = eventually(LIMIT, "every record to be chained", async || {
        let records = tenant.list("/v1/audit-log?limit=100").await;
        records.iter().all(|record| record["chain_seq"].is_i64()).then_some(records)
    })
    .await;
    let mut actions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in records.iter().rev() {
        let of = |name: &str| record[name].as_str().unwrap();
        if of("entity_id").starts_with("ep_") && of("entity_id") != hook {
            actions.entry(of("entity_id")).or_default().push(of("action"));
        }
    }
    for (id, actions) in &actions {
        let mut expected = vec!["endpoint.create"];
        let renamed = endpoints.get(*id).copied().unwrap_or(RENAMES);
        expected.extend(vec!["endpoint.update"; renamed]);
        expected.extend((!endpoints.contains_key(*id)).then_some("endpoint.delete"));
        assert_eq!(*actions, expected, "{id}");
    }
    assert!(endpoints.keys().all(|id| actions.contains_key(id.as_str())), "an endpoint without a record");
}

/// The topic has the entities that the tables have, at their versions, and its marker counts them.
async fn the_directory_has_the_same(deployment: &Deployment, hook: &str, endpoints: &BTreeMap<String, usize>) {
    deployment.synced().await;
    let last = deployment.published_version().await;
    let (codec, reader) = (Codec::new(), deployment.read(&deployment.topics.config()));
    let (mut entries, mut marker) = (BTreeMap::new(), None);
    let is_last = |version| version == last;
    eventually(LIMIT, "the topic to be read to its end", async || {
        for record in reader.wait_for(0, LIMIT, |_| true).await {
            let value = record.value.unwrap();
            if record.key.as_deref() == Some(ConfigMarker::KEY.as_bytes()) {
                marker = Some(codec.decode::<ConfigMarker>(&value).unwrap());
            } else {
                let entry = codec.decode::<ConfigEntry>(&value).unwrap();
                entries.insert(entry.body.key().to_string(), entry);
            }
        }
        entries.values().any(|entry: &ConfigEntry| is_last(entry.version)).then_some(())
    })
    .await;
    let live = entries.values().filter(|entry| entry.body.is_live());
    let published: BTreeMap<String, i64> = live
        .clone()
        .filter(|entry| matches!(&entry.body, ConfigBody::Endpoint(endpoint) if endpoint.id.as_str() != hook))
        .map(|entry| (entry.body.key().to_string(), entry.entity_version))
        .collect();
    let stored: BTreeMap<String, i64> =
        endpoints.iter().map(|(id, renamed)| (id.clone(), 1 + i64::try_from(*renamed).unwrap())).collect();
    assert_eq!(published, stored);
    assert_eq!(marker.map(|marker| usize::try_from(marker.live).unwrap()), Some(live.count()));
}

/// Each delivery is in the log once, with its one attempt, and counted once.
async fn the_log_is_complete(tenant: &Tenant, hook: &str, written: usize) {
    let query = format!("status=delivered&endpoint_id={hook}");
    let log = tenant.deliveries(&query, written).await;
    assert_eq!(log.len(), written);
    assert!(log.iter().all(|delivery| delivery["attempt"] == 1));
    // What was counted is added up a little later, and not while the database is away.
    let counted = eventually(LIMIT, "each delivery to be counted", async || {
        let (_, summary) = tenant.api.get(&format!("/v1/analytics/summary?endpoint_id={hook}")).await.unwrap();
        assert!(summary["counts"]["delivered"].as_u64() <= Some(written as u64), "counted twice: {summary:#}");
        (summary["counts"]["delivered"] == written).then(|| summary["counts"].clone())
    })
    .await;
    assert_eq!(counted["attempts"], written, "{counted:#}");
}

/// What was acknowledged of each endpoint: how often it was renamed, or that it was deleted (none).
type Acknowledged = BTreeMap<String, Option<usize>>;

/// Endpoints that are made, renamed and, every other one, deleted for as long as this goes on.
struct Changes {
    stop: CancellationToken,
    acknowledged: Arc<Mutex<Acknowledged>>,
    writers: JoinSet<()>,
}

impl Changes {
    fn start(tenant: &Tenant, url: &str) -> Self {
        let (stop, acknowledged) = (CancellationToken::new(), Arc::<Mutex<Acknowledged>>::default());
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let (api, url, stop) = (tenant.api.clone(), url.to_owned(), stop.clone());
            let acknowledged = Arc::clone(&acknowledged);
            writers.spawn(async move {
                let mut keep = number % 2 == 0;
                while !stop.is_cancelled() {
                    one(&api, &url, keep, &acknowledged).await;
                    keep = !keep;
                }
            });
        }
        Self { stop, acknowledged, writers }
    }

    /// Waits until so many more endpoints were made.
    async fn more(&self, count: usize) {
        let wanted = self.acknowledged.lock().len() + count;
        eventually(LIMIT, "changes to be acknowledged", async || {
            (self.acknowledged.lock().len() >= wanted).then_some(())
        })
        .await;
    }

    async fn stop(mut self) -> Acknowledged {
        self.stop.cancel();
        while let Some(ended) = self.writers.join_next().await {
            ended.unwrap();
        }
        self.acknowledged.lock().clone()
    }
}

/// An endpoint's life, up to the first change that fails: whether that one was made, nobody was told.
async fn one(api: &ApiClient, url: &str, keep: bool, acknowledged: &Mutex<Acknowledged>) {
    let new = json!({"name": "w-0", "url": url, "event_types": ["never"]});
    let Ok((StatusCode::CREATED, made)) = api.post("/v1/endpoints", &new).await else { return };
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/endpoints/{id}");
    acknowledged.lock().insert(id.clone(), Some(0));
    for renamed in 1..=RENAMES {
        let Ok((StatusCode::OK, _)) = api.patch(&path, &json!({"name": format!("w-{renamed}")})).await else { return };
        acknowledged.lock().insert(id.clone(), Some(renamed));
    }
    if !keep {
        // Not acknowledged, it may have happened all the same.
        acknowledged.lock().remove(&id);
        if let Ok((StatusCode::NO_CONTENT, _)) = api.delete(&path).await {
            acknowledged.lock().insert(id, None);
        }
    }
}
