//! The binary as a command that is watched while it runs.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{LIMIT, deployment::binary};

/// A command that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
    told: UnboundedReceiver<String>,
    _folder: TempDir,
}

impl Running {
    /// Starts the binary with these arguments and `config` as its configuration file.
    pub fn start(arguments: &[&str], config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("postrider.toml"), config).unwrap();
        let mut child = Command::new(binary())
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = passed_on(child.stderr.take().unwrap());
        Self { child, lines, said: Vec::new(), told, _folder: folder }
    }

    /// Waits until it prints a line with this in it.
    pub async fn says(&mut self, text: &str) {
        let waiting = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended without saying '{text}': {:?}", self.said));
                let found = line.contains(text);
                self.said.push(line);
                if found {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "it did not say '{text}': {:?}", self.said);
    }

    /// Waits until it prints a line with this in it to standard error, where it tells people how it goes.
    pub async fn tells(&mut self, text: &str) {
        let waiting = async {
            loop {
                let line = self.told.recv().await;
                if line.unwrap_or_else(|| panic!("it ended without telling '{text}'")).contains(text) {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "it did not tell '{text}'");
    }

    /// Kills it.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it ends. Answers its exit code and what it printed to standard output.
    pub async fn ends(mut self) -> (i32, String) {
        let waiting = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push(line);
            }
            self.child.wait().await.unwrap().code().unwrap_or(-1)
        };
        let code = tokio::time::timeout(LIMIT, waiting).await;
        (code.unwrap_or_else(|_| panic!("it still runs: {:?}", self.said)), self.said.join("\n"))
    }
}

/// What comes from standard error, which goes to the test's own, too.
fn passed_on(errors: ChildStderr) -> UnboundedReceiver<String> {
    let (sender, told) = unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(errors).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("{line}");
            // Nobody has to listen.
            let _ = sender.send(line);
        }
    });
    told
}
