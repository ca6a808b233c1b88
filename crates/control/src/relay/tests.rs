//! The relay on a real Postgres and the in-process broker.

use std::time::Duration;

use postrider_domain::{
    ConfigBody, ConfigEntry, ConfigMarker, DirectoryVersion, EntityKind, TenantId, Timestamp,
    config_entry::{Deleted, Tenant},
    seal::KeyRing,
};
use postrider_kafka::{
    Codec, KafkaConfig, Readiness, Record, Shutdown, TableEvent, TableReader, Topics, mock::MockBroker,
};
use postrider_postgres::{
    Database, PgConnection, PgPool, audit_chain, connect, connect_service, local::LocalPostgres, migrate, outbox,
    relay_state,
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::task::JoinHandle;

use super::{Relay, RelayConfig};
use crate::{
    audit::{Actor, Change, record},
    audit_chain::{Fault, NotedLink, Verdict, verify_now},
    clock,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// A database, a broker with an empty directory, and a reader of it.
struct Fixture {
    _server: LocalPostgres,
    _broker: MockBroker,
    /// Of the owner of all tables.
    owner: PgPool,
    pool: Database,
    kafka: KafkaConfig,
    codec: Codec,
    key_ring: KeyRing,
    readiness: Readiness,
    reader: TableReader,
}

impl Fixture {
    async fn new() -> Self {
        let server = LocalPostgres::start(None).await.unwrap();
        let owner = connect(&server.create_database("relay").await.unwrap(), 1).await.unwrap();
        migrate(&owner).await.unwrap();
        let pool = connect_service(&server.service_url("relay"), 4).await.unwrap();
        let topic = Topics::new("postrider").config();
        let broker = MockBroker::start(vec![(topic.clone(), 1)]).unwrap();
        let kafka = KafkaConfig::embedded(broker.bootstrap_servers(), "test");
        let reader = TableReader::start(&kafka, &topic).unwrap();
        let (codec, readiness) = (Codec::new(), Readiness::new());
        let key_ring = KeyRing::parse(&KeyRing::generate_text(&mut StdRng::seed_from_u64(7))).unwrap();
        Self { _server: server, _broker: broker, owner, pool, kafka, codec, key_ring, readiness, reader }
    }

    fn start(&self) -> (Shutdown, JoinHandle<()>) {
        let shutdown = Shutdown::new();
        let relay = Relay::new(
            RelayConfig::default(),
            self.pool.clone(),
            self.kafka.clone(),
            Topics::new("postrider"),
            self.codec.clone(),
            self.key_ring.clone(),
            self.readiness.register("relay"),
        );
        (shutdown.clone(), tokio::spawn(relay.run(shutdown)))
    }

    async fn push(&self, entity_version: i64, body: &ConfigBody) {
        let mut conn = self.pool.acquire().await.unwrap();
        outbox::push(&mut conn, entity_version, body).await.unwrap();
    }

    /// Makes a change with its audit record, as the management plane does.
    async fn change(&self, entity_version: i64, id: &'static str) {
        let mut transaction = self.pool.begin().await.unwrap();
        outbox::push(&mut transaction, entity_version, &tenant(id)).await.unwrap();
        audit(&mut transaction, id).await;
        transaction.commit().await.unwrap();
    }

    /// Checks the audit log's chain once it has `links` links.
    async fn chain_of(&self, links: i64, noted: Option<NotedLink>) -> Verdict {
        let wait = async {
            loop {
                let kept_since = Timestamp::EPOCH;
                let verdict = verify_now(&self.pool, &self.key_ring, kept_since, noted.clone()).await.unwrap();
                if verdict.links == links {
                    return verdict;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("the chain never has {links} links"))
    }

    /// Does to the database what its owner can, past all triggers.
    async fn tamper(&self, sql: &'static str) {
        let mut transaction = self.owner.begin().await.unwrap();
        postrider_postgres::local::execute(&mut transaction, "SET LOCAL session_replication_role = replica")
            .await
            .unwrap();
        postrider_postgres::local::execute(&mut transaction, sql).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// The next record of the topic.
    async fn next(&mut self) -> Record {
        let next = async {
            loop {
                if let Some(TableEvent::Record(record)) = self.reader.next().await {
                    return record;
                }
            }
        };
        tokio::time::timeout(DEADLINE, next).await.expect("a record comes")
    }

    async fn next_entry(&mut self) -> ConfigEntry {
        let record = self.next().await;
        self.codec.decode(&record.value.expect("an entry has a value")).expect("an entry")
    }

    async fn next_marker(&mut self) -> ConfigMarker {
        let record = self.next().await;
        assert_eq!(record.key_str(), Some(ConfigMarker::KEY));
        self.codec.decode(&record.value.expect("a marker has a value")).expect("a marker")
    }
}

fn version(seq: i64) -> DirectoryVersion {
    DirectoryVersion { epoch: 1, seq }
}

fn tenant(id: &str) -> ConfigBody {
    ConfigBody::Tenant(Tenant::new(TenantId::from_trusted(id), id))
}

fn deleted(id: &str, at: Timestamp) -> ConfigBody {
    ConfigBody::Deleted(Deleted { id: (&TenantId::from_trusted(id)).into(), entity: EntityKind::Tenant, at })
}

async fn unready_because(readiness: &Readiness, words: &str) {
    let wait = async {
        while !readiness.report().iter().any(|(_, state)| state.as_ref().is_err_and(|why| why.contains(words))) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never unready because '{words}'"));
}

#[tokio::test]
async fn an_empty_directory_gets_its_marker_and_changes_follow_in_order() {
    let mut fixture = Fixture::new().await;
    let (shutdown, relay) = fixture.start();
    assert_eq!(fixture.next_marker().await, ConfigMarker { version: version(0), live: 0 });

    fixture.push(1, &tenant("ten_a")).await;
    let entry = fixture.next_entry().await;
    assert_eq!((entry.version, entry.entity_version, entry.body), (version(1), 1, tenant("ten_a")));
    assert_eq!(fixture.next_marker().await, ConfigMarker { version: version(1), live: 1 });

    fixture.push(2, &tenant("ten_a")).await;
    assert_eq!(fixture.next_entry().await.version, version(2), "an edit needs no marker");
    fixture.push(3, &deleted("ten_a", clock::now())).await;
    assert!(!fixture.next_entry().await.body.is_live());
    assert_eq!(fixture.next_marker().await, ConfigMarker { version: version(3), live: 0 });

    shutdown.soft.cancel();
    tokio::time::timeout(DEADLINE, relay).await.unwrap().unwrap();
    let mut conn = fixture.pool.acquire().await.unwrap();
    assert_eq!(outbox::first(&mut conn, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_reserved_and_perhaps_published_is_published_again_under_new_seqs() {
    let mut fixture = Fixture::new().await;
    fixture.push(1, &tenant("ten_a")).await;
    let mut conn = fixture.pool.acquire().await.unwrap();
    relay_state::reserve(&mut conn, 7).await.unwrap();
    let (_shutdown, _relay) = fixture.start();
    assert_eq!(fixture.next_marker().await, ConfigMarker { version: version(0), live: 0 });
    assert_eq!(fixture.next_entry().await.version, version(8));
    assert_eq!(fixture.next_marker().await, ConfigMarker { version: version(8), live: 1 });
}

#[tokio::test]
async fn a_relay_refuses_a_topic_that_is_ahead_of_its_database_or_behind_it() {
    let mut fixture = Fixture::new().await;
    let (shutdown, relay) = fixture.start();
    fixture.push(1, &tenant("ten_a")).await;
    while fixture.next().await.key_str() == Some(ConfigMarker::KEY) {}
    assert_eq!(fixture.next_marker().await.live, 1);
    shutdown.soft.cancel();
    relay.await.unwrap();

    // The same topic with an empty database is a database from an older backup.
    let restored = Fixture::new().await;
    let restored = Fixture { kafka: fixture.kafka.clone(), ..restored };
    let (_shutdown, _relay) = restored.start();
    unready_because(&restored.readiness, "published only up to 1.0").await;

    // The same database with an empty topic is a topic that was made anew.
    let remade = Fixture::new().await;
    let remade = Fixture { pool: fixture.pool.clone(), ..remade };
    let (_shutdown, _relay) = remade.start();
    unready_because(&remade.readiness, "ends before version 1.1").await;
}

#[tokio::test]
async fn a_deletion_becomes_a_tombstone_after_thirty_days() {
    let mut fixture = Fixture::new().await;
    let long_ago = clock::now() - Duration::from_hours(31 * 24);
    fixture.push(1, &tenant("ten_a")).await;
    fixture.push(2, &deleted("ten_a", long_ago)).await;
    let (shutdown, relay) = fixture.start();
    for _ in 0..4 {
        fixture.next().await; // the first marker, both entries, their marker
    }
    shutdown.soft.cancel();
    relay.await.unwrap();

    let (_shutdown, _relay) = fixture.start();
    let tombstone = fixture.next().await;
    assert_eq!(tombstone.key_str(), Some("ten_a"));
    assert_eq!(tombstone.value, None);
}

async fn audit(conn: &mut PgConnection, entity_id: &str) {
    let change = Change { tenant: None, action: "tenant.create", entity_id, before: None, after: None };
    record(conn, &Actor::cli(), clock::now(), change).await.unwrap();
}

#[tokio::test]
async fn the_audit_log_is_chained_in_the_order_of_publishing_and_tampering_shows() {
    let fixture = Fixture::new().await;
    // The one that began first is committed last, and published last.
    let mut late = fixture.pool.begin().await.unwrap();
    outbox::push(&mut late, 1, &tenant("ten_late")).await.unwrap();
    audit(&mut late, "ten_late").await;
    fixture.change(1, "ten_a").await;
    let (shutdown, relay) = fixture.start();
    fixture.chain_of(1, None).await;
    late.commit().await.unwrap();
    fixture.chain_of(2, None).await;
    fixture.change(1, "ten_b").await;
    let mut alone = fixture.pool.acquire().await.unwrap();
    audit(&mut alone, "key_a").await;
    let verdict = fixture.chain_of(4, None).await;
    assert_eq!((verdict.fault_count, verdict.first), (0, Some(1)), "{:?}", verdict.faults);
    let order = audit_chain::links(&mut alone, 0, 10).await.unwrap();
    let order: Vec<_> = order.into_iter().map(|linked| linked.record.expect("it is there").entity_id).collect();
    assert_eq!(order[..2], ["ten_a", "ten_late"]);
    shutdown.soft.cancel();
    relay.await.unwrap();

    let mut owner = fixture.owner.acquire().await.unwrap();
    let refused = postrider_postgres::local::execute(&mut owner, "UPDATE audit_log SET actor = 'nobody'").await;
    assert!(refused.unwrap_err().to_string().contains("append-only"));
    drop(owner);
    fixture.tamper("UPDATE audit_log SET actor = 'nobody' WHERE entity_id = 'ten_late'").await;
    let altered = fixture.chain_of(4, None).await.faults;
    assert!(matches!(altered[..], [Fault::Altered { seq: 2, .. }]), "{altered:?}");
    fixture.tamper("DELETE FROM audit_log WHERE entity_id = 'ten_late'").await;
    let removed = fixture.chain_of(4, None).await.faults;
    assert!(matches!(removed[..], [Fault::Removed { seq: 2, .. }]), "{removed:?}");
    fixture.tamper("INSERT INTO audit_log (at, actor, action, entity_id) VALUES (now(), 'x', 'x', 'x')").await;
    let added = fixture.chain_of(4, None).await.faults;
    assert!(matches!(added[..], [Fault::Removed { .. }, Fault::Unlinked { count: 1 }]), "{added:?}");
    fixture.tamper("DELETE FROM audit_chain WHERE seq = 4").await;
    let cut = fixture.chain_of(3, verdict.head).await.faults;
    assert!(cut.contains(&Fault::NotAsNoted { seq: 4 }), "{cut:?}");
}

#[tokio::test]
async fn what_is_cut_off_the_end_of_the_chain_while_the_relay_works_leaves_a_gap() {
    let fixture = Fixture::new().await;
    let (shutdown, relay) = fixture.start();
    for name in ["ten_a", "ten_b"] {
        fixture.change(1, name).await;
    }
    fixture.chain_of(2, None).await;
    fixture.tamper("DELETE FROM audit_log WHERE entity_id = 'ten_b'").await;
    fixture.tamper("DELETE FROM audit_chain WHERE seq = 2").await;
    assert_eq!(fixture.chain_of(1, None).await.fault_count, 0, "nothing tells, but who noted the end");
    fixture.change(1, "ten_c").await;
    assert_eq!(fixture.chain_of(2, None).await.faults, [Fault::LinksRemoved { from: 2, to: 2 }]);
    shutdown.soft.cancel();
    relay.await.unwrap();
}
