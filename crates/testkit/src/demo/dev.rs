//! `postrider dev` as a child process, and what it says about itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use postrider_postgres::local::{Guarded, GuardedCommand, Signal};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::Instant;

const START_LIMIT: Duration = Duration::from_secs(45);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// What `postrider dev --output json` prints.
#[derive(Debug, Clone, Deserialize)]
pub struct DevInfo {
    /// The in-process broker's address.
    pub kafka: String,
    /// The API's base URL.
    pub api: String,
    /// The docs page.
    pub docs: String,
    /// An operator's API key.
    pub operator_key: String,
    /// The sample tenant.
    pub tenant: String,
    /// An API key of the sample tenant.
    pub tenant_key: String,
    /// The topic that events are written to.
    pub topic: String,
}

/// A running `postrider dev`. It ends with this process, however this process ends.
#[derive(Debug)]
pub struct DevProcess {
    process: Guarded,
    log: PathBuf,
    info: DevInfo,
    _folder: TempDir,
}

impl DevProcess {
    /// Starts the binary on a free port and waits until it is ready.
    pub async fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("postrider-demo-").tempdir().context("make a folder")?;
        let log = folder.path().join("dev.log");
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--output", "json"];
        let command = GuardedCommand {
            command: std::iter::once(program.into()).chain(arguments.map(Into::into)).collect(),
            current_dir: folder.path().to_owned(),
            log: log.clone(),
            run_as: None,
            last_signal: Signal::Term,
            remove: None,
        };
        let started = Guarded::spawn(&command).await;
        let mut process = started.with_context(|| format!("run {}", program.display()))?;
        let info = wait_for_info(&mut process, &log).await?;
        Ok(Self { process, log, info, _folder: folder })
    }

    /// What it said about itself.
    pub fn info(&self) -> &DevInfo {
        &self.info
    }

    /// The file that its logs are in.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.ended(), Ok(None))
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let status = self.process.end(Signal::Term, STOP_LIMIT).await.context("stop `postrider dev`")?;
        if !status.success() {
            bail!("`postrider dev` ended with {status}; the end of its log:\n{}", last_lines(&self.log));
        }
        Ok(())
    }
}

async fn wait_for_info(process: &mut Guarded, log: &Path) -> anyhow::Result<DevInfo> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let printed = std::fs::read_to_string(log).unwrap_or_default();
        if let Some(info) = printed.lines().find_map(|line| serde_json::from_str(line).ok()) {
            return Ok(info);
        }
        if process.ended().context("look after `postrider dev`")?.is_some() {
            bail!("`postrider dev` ended before it was ready:\n{}", last_lines(log));
        }
        if Instant::now() > deadline {
            bail!("`postrider dev` was not ready after {START_LIMIT:?}:\n{}", last_lines(log));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The last lines of a log.
pub fn last_lines(log: &Path) -> String {
    const LINES: usize = 15;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
