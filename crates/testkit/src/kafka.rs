//! A real Apache Kafka cluster: one broker or three, in KRaft mode, in a folder of its own, on free loopback ports.
//!
//! `make setup` fetches the jars. A broker runs under a watchdog: it ends when we do, however we end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use parking_lot::Mutex;
use postrider_postgres::local::{Guarded, GuardedCommand, Signal, free_port};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

mod properties;

use properties::{Broker, LOG4J2, server_properties};

/// Names the folder of Kafka's jars, when it is not the one that `make setup` fills.
pub const JARS_VARIABLE: &str = "POSTRIDER_KAFKA_DIR";

/// Any valid id will do: every cluster has a folder of its own.
const CLUSTER_ID: &str = "cG9zdHJpZGVyLXRlc3RzLQ";
/// Three JVMs starting on two busy cores.
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// What a broker logs once it serves requests.
const STARTED: &str = "Kafka Server started";

/// How Kafka's own scripts start a broker.
const AS_SHIPPED: [&str; 7] = [
    "-server",
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];
/// A JVM that starts fast and stays small.
const SMALL: [&str; 4] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

/// A running cluster. Dropping it kills the brokers and removes their folder.
#[derive(Debug)]
pub struct KafkaCluster {
    jars: PathBuf,
    jvm: &'static [&'static str],
    folder: PathBuf,
    temporary: Option<TempDir>,
    brokers: Vec<Broker>,
    running: Vec<Mutex<Option<Guarded>>>,
}

impl KafkaCluster {
    /// Starts a cluster of `brokers` brokers (1 or 3), each broker also a controller, and waits until all serve.
    pub async fn start(brokers: u16) -> anyhow::Result<Self> {
        Self::start_on(brokers, &SMALL).await
    }

    /// The same with brokers that run as they do in production: they start slowly and then take less of the machine
    /// for each record, so that what they take can be measured.
    pub async fn start_as_shipped(brokers: u16) -> anyhow::Result<Self> {
        Self::start_on(brokers, &AS_SHIPPED).await
    }

    async fn start_on(brokers: u16, jvm: &'static [&'static str]) -> anyhow::Result<Self> {
        let jars = jars_folder()?;
        let temporary =
            tempfile::Builder::new().prefix("postrider-kafka-").tempdir().context("make a folder for Kafka")?;
        let folder = temporary.path().to_owned();
        let brokers = (0..brokers)
            .map(|index| Ok(Broker { id: index + 1, port: free_port()?, controller_port: free_port()? }))
            .collect::<std::io::Result<Vec<Broker>>>()
            .context("find free ports for Kafka")?;
        let running = brokers.iter().map(|_| Mutex::new(None)).collect();
        let cluster = Self { jars, jvm, folder, temporary: Some(temporary), brokers, running };
        try_join_all((0..cluster.brokers.len()).map(|index| cluster.format(index))).await?;
        try_join_all((0..cluster.brokers.len()).map(|index| cluster.start_broker(index))).await?;
        Ok(cluster)
    }

    /// The addresses of all brokers, as clients take them.
    pub fn bootstrap_servers(&self) -> String {
        let addresses: Vec<String> = self.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port)).collect();
        addresses.join(",")
    }

    /// How many brokers the cluster has, running or not.
    pub fn size(&self) -> usize {
        self.brokers.len()
    }

    /// The process id of broker `index` (from 0), while it runs.
    pub fn pid(&self, index: usize) -> Option<u32> {
        self.running[index].lock().as_ref().map(Guarded::pid)
    }

    /// Starts broker `index` on its own port and folder and waits until it serves; nothing to do if it runs.
    pub async fn start_broker(&self, index: usize) -> anyhow::Result<()> {
        if self.pid(index).is_some() {
            return Ok(());
        }
        let log = self.log(index);
        let seen = std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let command = GuardedCommand {
            command: self.java(index, self.jvm, &["kafka.Kafka", "server.properties"]),
            current_dir: self.folder(index),
            log: log.clone(),
            run_as: None,
            last_signal: Signal::Kill,
            remove: Some(self.folder.clone()),
        };
        let mut broker = Guarded::spawn(&command).await.context("run java")?;
        let started = wait_started(&mut broker, &log, seen).await;
        *self.running[index].lock() = Some(broker);
        started.with_context(|| format!("start Kafka broker {index}"))
    }

    /// Stops broker `index` in order, handing its partitions over.
    pub async fn stop_broker(&self, index: usize) -> anyhow::Result<()> {
        self.end(index, Signal::Term).await
    }

    /// Kills broker `index` as a crash would.
    pub async fn kill_broker(&self, index: usize) -> anyhow::Result<()> {
        self.end(index, Signal::Kill).await
    }

    /// Freezes broker `index`: its connections stay open and nothing is answered.
    pub async fn pause(&self, index: usize) -> anyhow::Result<()> {
        self.signal(index, Signal::Stop).await
    }

    /// Thaws broker `index`.
    pub async fn resume(&self, index: usize) -> anyhow::Result<()> {
        self.signal(index, Signal::Cont).await
    }

    /// Stops all brokers and removes their folder.
    pub async fn stop(self) -> anyhow::Result<()> {
        // The last controllers cannot leave a quorum that is gone: nothing is kept, so no broker need leave in order.
        for index in 0..self.brokers.len() {
            self.kill_broker(index).await?;
        }
        Ok(())
    }

    async fn signal(&self, index: usize, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid(index).with_context(|| format!("Kafka broker {index} does not run"))?;
        Ok(postrider_postgres::local::send_signal(pid, signal).await?)
    }

    async fn end(&self, index: usize, signal: Signal) -> anyhow::Result<()> {
        let broker = self.running[index].lock().take();
        if let Some(mut broker) = broker {
            broker.end(signal, STOP_LIMIT).await.with_context(|| format!("end Kafka broker {index}"))?;
        }
        Ok(())
    }

    /// Writes the broker's configuration and formats its storage.
    async fn format(&self, index: usize) -> anyhow::Result<()> {
        let folder = self.folder(index);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        std::fs::write(folder.join("log4j2.properties"), LOG4J2)?;
        std::fs::write(folder.join("server.properties"), server_properties(index, &self.brokers, &folder))?;
        let format = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", "server.properties"];
        let command = self.java(index, &SMALL, &format);
        let output = Command::new(&command[0])
            .args(&command[1..])
            .current_dir(&folder)
            .kill_on_drop(true)
            .output()
            .await
            .context("run java (is a JDK of version 17 or newer installed? `make setup` says)")?;
        if !output.status.success() {
            let printed = [output.stdout, output.stderr].concat();
            bail!("kafka.tools.StorageTool failed in {}: {}", folder.display(), String::from_utf8_lossy(&printed));
        }
        Ok(())
    }

    fn java(&self, index: usize, jvm: &[&str], main: &[&str]) -> Vec<OsString> {
        let log4j2 = format!("-Dlog4j2.configurationFile={}", self.folder(index).join("log4j2.properties").display());
        let class_path = format!("{}/*", self.jars.display());
        let words = ["java"].into_iter().chain(jvm.iter().copied()).chain([&*log4j2, "-cp", &class_path]);
        words.chain(main.iter().copied()).map(OsString::from).collect()
    }

    fn folder(&self, index: usize) -> PathBuf {
        self.folder.join(format!("broker-{index}"))
    }

    fn log(&self, index: usize) -> PathBuf {
        self.folder(index).join("kafka.log")
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        if self.running.iter().any(|broker| broker.lock().is_some())
            && let Some(temporary) = self.temporary.take()
        {
            let _ = temporary.keep(); // the watchdogs remove it once the brokers have ended
        }
    }
}

fn jars_folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os(JARS_VARIABLE)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kafka-4.1.0"), PathBuf::from);
    if !folder.join("kafka_2.13-4.1.0.jar").is_file() {
        bail!("Kafka's jars are not in {}: run `make setup`", folder.display());
    }
    std::path::absolute(&folder).with_context(|| format!("resolve {}", folder.display()))
}

/// Waits for the broker's own word after byte `seen` of its log, which earlier runs of the broker wrote too.
async fn wait_started(broker: &mut Guarded, log: &Path, seen: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    let seen = usize::try_from(seen).context("a log larger than memory")?;
    loop {
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(text.get(seen..).unwrap_or_default()).into_owned();
        if text.contains(STARTED) {
            return Ok(());
        }
        let ended = broker.ended().context("look after the broker")?;
        if ended.is_some() || Instant::now() > deadline {
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            bail!("the broker did not come up ({ended:?}); the end of its log:\n{tail}");
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broker_starts_survives_a_kill_and_leaves_nothing() {
        let cluster = KafkaCluster::start(1).await.unwrap();
        let pid = cluster.pid(0).unwrap();
        tokio::net::TcpStream::connect(cluster.bootstrap_servers()).await.unwrap();
        cluster.kill_broker(0).await.unwrap();
        assert_eq!(cluster.pid(0), None);
        cluster.start_broker(0).await.unwrap();
        let (again, folder) = (cluster.pid(0).unwrap(), cluster.folder.clone());
        assert_ne!(pid, again);
        drop(cluster);
        crate::eventually(Duration::from_secs(10), "the broker and its folder to be gone", async || {
            let gone = !folder.exists() && !Path::new(&format!("/proc/{again}")).exists();
            gone.then_some(())
        })
        .await;
    }
}
