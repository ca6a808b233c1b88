//! The `postrider` binary as a process of its own, with a configuration file of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use postrider_postgres::local::{Signal, free_port, send_signal};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(20);

/// How to start the binary.
#[derive(Debug, Clone)]
pub struct PostriderCommand {
    /// The binary.
    pub program: PathBuf,
    /// The subcommand and its flags, without `--config`.
    pub arguments: Vec<String>,
    /// The configuration (TOML), without `api.listen`, which is given by the environment.
    pub config: String,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

/// A running `postrider`. Dropping it kills the process.
#[derive(Debug)]
pub struct PostriderProcess {
    child: Child,
    pid: u32,
    port: u16,
    folder: TempDir,
    client: reqwest::Client,
}

impl PostriderProcess {
    /// Starts the binary; its API listens on a free loopback port.
    pub fn start(command: &PostriderCommand) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("postrider-process-").tempdir().context("make a folder")?;
        let config = folder.path().join("postrider.toml");
        std::fs::write(&config, &command.config).with_context(|| format!("write {}", config.display()))?;
        let port = free_port().context("find a free port for the API")?;
        let output = std::fs::File::create(folder.path().join(OUTPUT)).context("make a file for the output")?;
        let child = Command::new(&command.program)
            .args(&command.arguments)
            .arg("--config")
            .arg(&config)
            .env("POSTRIDER__API__LISTEN", format!("127.0.0.1:{port}"))
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the file for the output")?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("run {}", command.program.display()))?;
        let pid = child.id().context("the process ended before it was looked at")?;
        Ok(Self { child, pid, port, folder, client: crate::http_client() })
    }

    /// Where its API answers.
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its folder: the configuration and the output.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has printed so far, both streams.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(OUTPUT)).unwrap_or_default()
    }

    /// Waits until `/readyz` answers 200.
    pub async fn wait_ready(&mut self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        let url = format!("{}/readyz", self.api_url());
        loop {
            let last = match self.client.get(&url).timeout(Duration::from_secs(2)).send().await {
                Ok(answer) if answer.status() == reqwest::StatusCode::OK => return Ok(()),
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            if let Some(status) = self.child.try_wait().context("look after postrider")? {
                bail!("postrider ended with {status} before it was ready; it printed:\n{}", self.output());
            }
            if Instant::now() > deadline {
                bail!("postrider was not ready after {limit:?} ({last}); it printed:\n{}", self.output());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn terminate(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::Term).await?;
        self.wait(limit).await
    }

    /// Ends it without asking (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill postrider")
    }

    /// Waits until it has ended by itself.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => status.context("wait for postrider"),
            Err(_) => bail!("postrider still runs after {limit:?}; it printed:\n{}", self.output()),
        }
    }

    /// Freezes it, as a long pause of its machine would.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::Stop).await
    }

    /// Thaws it.
    pub async fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::Cont).await
    }

    /// Sends it a signal.
    pub async fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(send_signal(self.pid, signal).await?)
    }
}

const OUTPUT: &str = "output.log";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A stand-in for the binary, since this crate cannot name it.
    fn script(folder: &Path, text: &str) -> PostriderCommand {
        let program = folder.join("stand-in");
        std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        PostriderCommand { program, arguments: vec!["serve".into()], config: "a = 1\n".into(), environment: vec![] }
    }

    #[tokio::test]
    async fn a_start_that_fails_shows_what_was_printed() {
        let folder = tempfile::tempdir().unwrap();
        let command = script(folder.path(), r#"echo "bad key in $3: $(cat "$3")" >&2; exit 3"#);
        let mut process = PostriderProcess::start(&command).unwrap();
        let error = process.wait_ready(Duration::from_secs(20)).await.unwrap_err().to_string();
        assert!(error.contains("bad key in") && error.contains("a = 1"), "{error}");
    }

    #[tokio::test]
    async fn terminate_returns_the_exit_status() {
        let folder = tempfile::tempdir().unwrap();
        let command = script(folder.path(), "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
        let mut process = PostriderProcess::start(&command).unwrap();
        crate::eventually(Duration::from_secs(20), "the trap", async || process.output().contains("up").then_some(()))
            .await;
        let status = process.terminate(Duration::from_secs(20)).await.unwrap();
        assert_eq!(status.code(), Some(7));
    }
}
