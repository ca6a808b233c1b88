//! One deployment of Postrider: its own topics, its own database, one process or several.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use postrider_control::{clock, manage::api_keys};
use postrider_domain::seal::KeyRing;
use postrider_kafka::{
    Ack, BrokerClock, KafkaConfig, Outgoing, Producer, TopicSettings, TopicSpec, Topics, add_partitions, create_topics,
};
use postrider_postgres::{PgPool, outbox, relay_state};
use postrider_testkit::{ApiClient, PostriderCommand, PostriderProcess, Receiver, eventually, usage};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Context, Environment, LIMIT, Settings, Tenant, TopicReader};

/// How long a process may take to be ready: Kafka makes its topics, and a group whose last member was killed waits for
/// that member's session to end.
const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Lines of a process' log that are shown with a failure.
const LOG_LINES: usize = 60;

/// A deployment, running or about to.
pub struct Deployment {
    context: Context,
    /// Configuration of its processes.
    pub settings: Settings,
    /// Names of its topics.
    pub topics: Topics,
    operator_key: String,
    pool: PgPool,
    kafka: KafkaConfig,
    producer: Producer,
    service: Option<Service>,
}

/// A process of a deployment. Dropping it kills it.
pub struct Service {
    context: Context,
    /// The process.
    pub process: PostriderProcess,
}

impl Deployment {
    /// A deployment with every role in one process, ready.
    pub async fn start(context: &Context, name: &str) -> Self {
        Self::with(context, name, "").await
    }

    /// The same, with more configuration (TOML).
    pub async fn with(context: &Context, name: &str, configuration: &str) -> Self {
        let mut deployment = Self::prepare(context, name, configuration).await;
        deployment.start_all().await;
        deployment
    }

    /// A deployment without a process: database, operator key and configuration are there.
    pub async fn prepare(context: &Context, name: &str, configuration: &str) -> Self {
        let database = context.environment.database().await;
        Self::prepare_on(context, name, &database, configuration).await
    }

    /// The same, on an empty database that the test brings.
    pub async fn prepare_on(context: &Context, name: &str, database: &str, configuration: &str) -> Self {
        let (kafka, producer) = (context.environment.kafka().await, context.environment.producer().await);
        Self::prepare_with(context, name, database, kafka, producer, configuration).await
    }

    /// The same, on brokers that the test brings.
    pub async fn prepare_at(context: &Context, name: &str, brokers: &str, configuration: &str) -> Self {
        let database = context.environment.database().await;
        let kafka = Environment::client(brokers);
        let producer = Producer::new(&kafka, BrokerClock::new(true)).unwrap();
        Self::prepare_with(context, name, &database, kafka, producer, configuration).await
    }

    async fn prepare_with(
        context: &Context,
        name: &str,
        database: &str,
        kafka: KafkaConfig,
        producer: Producer,
        configuration: &str,
    ) -> Self {
        let environment = &context.environment;
        let pool = postrider_postgres::connect(database, 2).await.unwrap();
        postrider_postgres::migrate(&pool).await.unwrap();
        let mut rng = clock::rng();
        let master_keys = KeyRing::generate_text(&mut rng);
        let keys = KeyRing::parse(&master_keys).unwrap();
        let mut connection = pool.acquire().await.unwrap();
        let made = api_keys::create_operator_key(&mut connection, &keys, "e2e", None, clock::now(), &mut rng).await;
        let operator_key = made.unwrap().1.to_string();
        drop(connection);
        let prefix = environment.prefix(name);
        let ca_file = environment.ca_file().await;
        let service_login = database.replacen("//postgres@", "//postrider@", 1);
        let settings = Settings::new(&kafka.bootstrap_servers, &prefix, &service_login, &master_keys, &ca_file);
        Self {
            context: context.clone(),
            settings: settings.with(configuration),
            topics: Topics::new(&prefix),
            operator_key,
            pool,
            producer,
            kafka,
            service: None,
        }
    }

    /// Starts the one process with every role, and waits until it is ready.
    pub async fn start_all(&mut self) {
        self.start_roles(&[]).await;
    }

    /// The same with these arguments, which may choose other roles; the API must be among them.
    pub async fn start_roles(&mut self, arguments: &[&str]) {
        let mut service = self.serve(arguments);
        service.ready().await;
        self.service = Some(service);
    }

    /// Starts a process with further arguments; it is not ready yet.
    pub fn serve(&self, arguments: &[&str]) -> Service {
        self.serve_in(arguments, Vec::new())
    }

    /// The same with environment variables too.
    pub fn serve_in(&self, arguments: &[&str], environment: Vec<(String, String)>) -> Service {
        let command = PostriderCommand {
            program: binary(),
            arguments: ["serve"].iter().chain(arguments).map(ToString::to_string).collect(),
            config: self.settings.to_text(),
            environment,
        };
        Service { context: self.context.clone(), process: PostriderProcess::start(&command).unwrap() }
    }

    /// The process that [`Deployment::start_all`] started.
    pub fn service(&mut self) -> &mut Service {
        self.service.as_mut().expect("the process was started")
    }

    /// Ends the process in order (SIGTERM), expecting exit status 0.
    pub async fn terminate(&mut self) {
        let mut service = self.service.take().expect("the process was started");
        let status = service.terminate().await;
        assert!(status.success(), "postrider ended with {status}");
    }

    /// Ends the process at once (SIGKILL).
    pub async fn kill(&mut self) {
        self.service.take().expect("the process was started").process.kill().await.unwrap();
    }

    /// The API of the process, with this key.
    pub fn client(&self, key: &str) -> ApiClient {
        ApiClient::new(&self.service.as_ref().expect("the process was started").process.api_url(), key)
    }

    /// The API of the process, with the operator's key.
    pub fn operator(&self) -> ApiClient {
        self.client(&self.operator_key)
    }

    /// The operator's key.
    pub fn operator_key(&self) -> &str {
        &self.operator_key
    }

    /// A new tenant with a key that may do everything, made through the process' API.
    pub async fn tenant(&self) -> Tenant {
        Tenant::create(self.operator()).await
    }

    /// Waits until the data plane of the process has applied every change that was made so far.
    pub async fn synced(&self) {
        self.synced_in(self.service.as_ref().expect("the process was started")).await;
    }

    /// The same, for another process.
    pub async fn synced_in(&self, service: &Service) {
        let published = eventually(LIMIT, "the relay to publish every change", async || {
            let mut connection = self.pool.acquire().await.unwrap();
            let waiting = outbox::first(&mut connection, 1).await.unwrap();
            let state = relay_state::get(&mut connection).await.unwrap();
            waiting.is_empty().then_some(state.version)
        });
        let published = published.await;
        eventually(LIMIT, "the directory to have what was published", async || {
            #[expect(clippy::cast_precision_loss, reason = "a few hundred at most")]
            let published = (published.epoch as f64, published.seq as f64);
            let epoch = service.metric("postrider_directory_epoch").await?;
            ((epoch, service.metric("postrider_directory_seq").await?) >= published).then_some(())
        })
        .await;
    }

    /// The seq of the last change that the relay published.
    pub async fn published_version(&self) -> postrider_domain::DirectoryVersion {
        let mut connection = self.pool.acquire().await.unwrap();
        relay_state::get(&mut connection).await.unwrap().version
    }

    /// A metric of the process, as [`Service::metric`].
    pub async fn metric(&self, name: &str) -> Option<f64> {
        self.service.as_ref().expect("the process was started").metric(name).await
    }

    /// All metrics of the process, as text.
    pub async fn metrics(&self) -> Option<String> {
        self.service.as_ref().expect("the process was started").metrics().await
    }

    /// The CPU time that the process has used.
    pub fn cpu_time(&self) -> Duration {
        usage::cpu_time(self.pid())
    }

    /// The memory of the process that is in RAM, bytes.
    pub fn resident_bytes(&self) -> u64 {
        usage::resident_bytes(self.pid())
    }

    fn pid(&self) -> u32 {
        self.service.as_ref().expect("the process was started").process.pid()
    }

    /// A receiver that speaks TLS, known to the deployment.
    pub async fn receiver(&self) -> Receiver {
        self.receiver_named(&[]).await
    }

    /// The same, with a certificate for these names too.
    pub async fn receiver_named(&self, names: &[&str]) -> Receiver {
        Receiver::start_tls(self.context.environment.ca().await, names).unwrap()
    }

    /// Writes a record, as a user's service would, and waits for its acknowledgement.
    pub async fn write(&self, record: &Outgoing) -> Ack {
        self.producer.send(record).await.unwrap()
    }

    /// A producer for those who write much.
    pub fn producer(&self) -> Producer {
        self.producer.clone()
    }

    /// Makes a topic that is a user's, or that is not as Postrider's own must be.
    pub async fn create_topic(&self, spec: TopicSpec, partitions: i32) {
        let settings = TopicSettings { partitions, replication_factor: 1, min_insync_replicas: 1 };
        create_topics(&self.kafka, &[spec], settings).await.unwrap();
    }

    /// Gives a topic of a user's more partitions, `count` in all, and writes a record with a producer that knows them.
    pub async fn add_partitions(&self, topic: &str, count: usize, record: &Outgoing) {
        add_partitions(&self.kafka, topic, count).await.unwrap();
        let producer = Producer::new(&self.kafka, BrokerClock::new(true)).unwrap();
        producer.send(record).await.unwrap();
    }

    /// Reads a topic from its beginning.
    pub fn read(&self, topic: &str) -> TopicReader {
        TopicReader::start(&self.kafka, topic)
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> (StatusCode, Value) {
        self.operator().get("/readyz").await.unwrap_or((StatusCode::BAD_GATEWAY, json!(null)))
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_postrider"))
}

impl Service {
    /// Waits until it is ready.
    pub async fn ready(&mut self) {
        if let Err(error) = self.process.wait_ready(READY_LIMIT).await {
            panic!("{error:#}");
        }
    }

    /// Waits until its log says this, or its readiness does.
    pub async fn says(&self, text: &str) {
        let url = format!("{}/readyz", self.process.api_url());
        eventually(READY_LIMIT, &format!("postrider to say '{text}'"), async || {
            let logged = self.process.output().contains(text);
            let readiness = async { reqwest::get(&url).await.ok()?.text().await.ok() };
            (logged || readiness.await.is_some_and(|report| report.contains(text))).then_some(())
        })
        .await;
    }

    /// Ends it in order.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate(STOP_LIMIT).await.unwrap()
    }

    /// The CPU time that it has used.
    pub fn cpu_time(&self) -> Duration {
        usage::cpu_time(self.process.pid())
    }

    /// All its metrics, as text.
    pub async fn metrics(&self) -> Option<String> {
        let answer = reqwest::get(format!("{}/metrics", self.process.api_url())).await.ok()?;
        answer.text().await.ok()
    }

    /// The sum of a metric over its labels, as `/metrics` tells it; none if it is not there.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics().await?;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.process.output();
            let lines: Vec<&str> = output.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            self.context.keep_log(format!("--- the end of postrider's log (pid {})\n{tail}", self.process.pid()));
        }
    }
}
