//! A real Schema Registry: Apicurio, which keeps its schemas in memory, on a free loopback port.
//!
//! `make setup` fetches it. It runs under a watchdog: it ends when we do, however we end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use postrider_postgres::local::{Guarded, GuardedCommand, Signal, free_port};
use tempfile::TempDir;
use tokio::time::Instant;

/// Names Apicurio's folder, when it is not the one that `make setup` fills.
pub const APICURIO_VARIABLE: &str = "POSTRIDER_APICURIO_DIR";

/// A JVM starting on two busy cores.
const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
/// A JVM that starts fast and stays small.
const JVM: [&str; 4] = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
const LOG: &str = "apicurio.log";

/// A running registry. Dropping it kills the process and removes its folder.
#[derive(Debug)]
pub struct Apicurio {
    process: Guarded,
    port: u16,
    temporary: Option<TempDir>,
}

impl Apicurio {
    /// Starts it and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let jar = runner()?;
        let temporary =
            tempfile::Builder::new().prefix("postrider-apicurio-").tempdir().context("make a folder for Apicurio")?;
        let folder = temporary.path().to_owned();
        let port = free_port().context("find a free port for Apicurio")?;
        let settings = [format!("-Dquarkus.http.port={port}"), "-Dquarkus.http.host=127.0.0.1".to_owned()];
        let words = ["java"].into_iter().chain(JVM).chain(settings.iter().map(String::as_str)).chain(["-jar"]);
        let command = words.map(OsString::from).chain([jar.into_os_string()]).collect();
        let command = GuardedCommand {
            command,
            log: folder.join(LOG),
            run_as: None,
            last_signal: Signal::Kill,
            remove: Some(folder.clone()),
            current_dir: folder,
        };
        let process = Guarded::spawn(&command).await.context("run java")?;
        let mut registry = Self { process, port, temporary: Some(temporary) };
        registry.wait_started(&command.log).await?;
        Ok(registry)
    }

    /// The base of its API, as Confluent's registry has it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it and removes its folder.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.process.end(Signal::Kill, STOP_LIMIT).await.context("end Apicurio")?;
        Ok(())
    }

    async fn wait_started(&mut self, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let (client, url) = (crate::http_client(), format!("{}/subjects", self.url()));
        loop {
            let answer = client.get(&url).timeout(Duration::from_secs(5)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = self.process.ended().context("look after Apicurio")?;
            if ended.is_some() || Instant::now() > deadline {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(20)..].join("\n");
                bail!("Apicurio did not come up ({ended:?}); the end of its log:\n{tail}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Apicurio {
    fn drop(&mut self) {
        if self.process.ended().is_ok_and(|ended| ended.is_none())
            && let Some(temporary) = self.temporary.take()
        {
            let _ = temporary.keep(); // the watchdog removes it once the process has ended
        }
    }
}

/// The jar that runs.
fn runner() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os(APICURIO_VARIABLE)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/apicurio-2.6.13"), PathBuf::from);
    let jar = folder.join("apicurio-registry-app-2.6.13.Final-runner.jar");
    if !jar.is_file() {
        bail!("Apicurio is not in {}: run `make setup`", folder.display());
    }
    std::path::absolute(&jar).with_context(|| format!("resolve {}", jar.display()))
}
