//! The binary as a command that ends by itself.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::deployment::binary;

/// A start that fails has to do so well within this.
const LIMIT: Duration = Duration::from_secs(45);

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// What it printed to standard output.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Finished {
    /// The one line by which it says on standard error why it failed: the last; before it come log lines at most.
    pub fn one_line(&self) -> &str {
        let said: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("postrider: ")).collect();
        let last = self.stderr.lines().last();
        assert!(said.len() == 1 && last == said.first().copied(), "not one line: {self:?}");
        said[0]
    }
}

/// Runs the binary in an empty folder with these arguments, and with `config` (if any) as its configuration file.
pub async fn postrider(arguments: &[&str], config: Option<&str>, environment: &[(&str, &str)]) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    if let Some(config) = config {
        std::fs::write(folder.path().join("postrider.toml"), config).unwrap();
    }
    let output = Command::new(binary())
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output).await.expect("the command ends by itself").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}
