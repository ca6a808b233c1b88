//! The servers of a run: one Kafka, one Postgres, one schema registry, one certificate authority.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use postrider_kafka::{BrokerClock, KafkaConfig, Producer};
use postrider_testkit::{Apicurio, KafkaCluster, LocalPostgres, TestCa, create_test_database, empty_folder};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Started piece by piece, as tests ask for them.
#[derive(Default)]
pub struct Environment {
    servers: OnceCell<Servers>,
    authority: OnceCell<Authority>,
    registry: OnceCell<Apicurio>,
    deployments: AtomicU32,
}

struct Servers {
    kafka: KafkaCluster,
    postgres: LocalPostgres,
    producer: Producer,
}

struct Authority {
    ca: TestCa,
    file: PathBuf,
    _folder: TempDir,
}

impl Environment {
    async fn servers(&self) -> &Servers {
        let start = async || {
            let (kafka, postgres) = tokio::join!(KafkaCluster::start(1), LocalPostgres::start(None));
            let kafka = kafka.expect("Kafka starts");
            let producer = Producer::new(&Self::client(&kafka.bootstrap_servers()), BrokerClock::new(true)).unwrap();
            Servers { kafka, postgres: postgres.expect("Postgres starts"), producer }
        };
        self.servers.get_or_init(start).await
    }

    async fn authority(&self) -> &Authority {
        let make = async || {
            let ca = TestCa::generate().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("ca.pem");
            std::fs::write(&file, ca.ca_pem()).unwrap();
            Authority { ca, file, _folder: folder }
        };
        self.authority.get_or_init(make).await
    }

    /// The brokers' addresses.
    pub async fn bootstrap_servers(&self) -> String {
        self.servers().await.kafka.bootstrap_servers()
    }

    /// How a Kafka client of a test reaches the brokers.
    pub async fn kafka(&self) -> KafkaConfig {
        Self::client(&self.bootstrap_servers().await)
    }

    /// A producer, as a user's service would have one.
    pub async fn producer(&self) -> Producer {
        self.servers().await.producer.clone()
    }

    /// The schema registry.
    pub async fn registry(&self) -> &Apicurio {
        self.registry.get_or_init(async || Apicurio::start().await.expect("Apicurio starts")).await
    }

    /// The database server.
    pub async fn postgres(&self) -> &LocalPostgres {
        &self.servers().await.postgres
    }

    /// The URL of a new, empty database.
    pub async fn database(&self) -> String {
        create_test_database(&self.servers().await.postgres).await.expect("a database is made")
    }

    /// Signs the receivers' certificates.
    pub async fn ca(&self) -> &TestCa {
        &self.authority().await.ca
    }

    /// The file of the authority's own certificate.
    pub async fn ca_file(&self) -> PathBuf {
        self.authority().await.file.clone()
    }

    /// A topic prefix that no other deployment of this run has.
    pub fn prefix(&self, name: &str) -> String {
        format!("{name}-{}", self.deployments.fetch_add(1, Ordering::Relaxed))
    }

    /// Stops what was started.
    pub async fn stop(self) {
        if let Some(registry) = self.registry.into_inner() {
            registry.stop().await.expect("Apicurio stops");
        }
        let Some(Servers { kafka, mut postgres, producer }) = self.servers.into_inner() else { return };
        drop(producer);
        let (kafka, postgres_stopped) = tokio::join!(kafka.stop(), postgres.stop());
        kafka.expect("Kafka stops");
        postgres_stopped.expect("Postgres stops");
        // One database for each test: thousands of files.
        empty_folder(postgres.folder()).expect("Postgres' files are removed");
    }

    /// How a Kafka client of a test reaches these brokers.
    pub fn client(bootstrap_servers: &str) -> KafkaConfig {
        KafkaConfig {
            bootstrap_servers: bootstrap_servers.to_owned(),
            properties: BTreeMap::new(),
            client_id: "e2e".to_owned(),
            instance_id: None,
            embedded: false,
        }
    }
}
