//! A child process that does not outlive us, however we end.
//!
//! The child runs under a small shell that holds the reading end of a pipe. When our end closes, by drop or because we
//! were killed, the shell ends the child. It needs no unsafe code, and works where `PR_SET_PDEATHSIG` does not.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// `read` returns when the pipe closes. The watcher ignores TERM from then on, so that the outer shell, which ends as
/// soon as the child has, cannot cut the clean-up short.
const WATCHDOG: &str = r#"
log=$1 signal=$2 remove=$3
shift 3
exec 3<&0 </dev/null
"$@" >>"$log" 2>&1 3<&- &
child=$!
(
  read -r _ <&3
  trap "" TERM
  kill -s "$signal" "$child"
  tries=0
  while kill -0 "$child" && [ "$tries" -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
  if kill -0 "$child"; then kill -s KILL "$child"; fi
  if [ -n "$remove" ]; then rm -rf -- "$remove"; fi
) >/dev/null 2>&1 &
watcher=$!
echo "$child"
exec >/dev/null
wait "$child"
status=$?
kill "$watcher"
exit "$status"
"#;

/// The user a child runs as, when that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
}

/// What a guarded child may be told, by the names `kill -s` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks for an orderly end.
    Term,
    /// Postgres: a fast shutdown.
    Int,
    /// Postgres: an immediate shutdown.
    Quit,
    /// Ends it without asking.
    Kill,
    /// Freezes it.
    Stop,
    /// Thaws it.
    Cont,
}

impl Signal {
    /// The name as `kill -s` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        }
    }
}

/// A command to run guarded.
#[derive(Clone, Debug)]
pub struct GuardedCommand {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Its working directory.
    pub current_dir: PathBuf,
    /// Where its output is appended.
    pub log: PathBuf,
    /// The user it runs as, ours if none.
    pub run_as: Option<RunAs>,
    /// What ends it when we are gone (after 5 s: KILL).
    pub last_signal: Signal,
    /// A folder to remove once it has ended because we are gone.
    pub remove: Option<PathBuf>,
}

/// A running guarded child. Dropping it ends the child.
#[derive(Debug)]
pub struct Guarded {
    shell: Child,
    pid: u32,
    /// Held, never written: its end is the signal.
    _pipe: ChildStdin,
}

impl Guarded {
    /// Starts `command` under its watchdog.
    pub async fn spawn(command: &GuardedCommand) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", WATCHDOG, "guard"])
            .arg(&command.log)
            .arg(command.last_signal.name())
            .arg(command.remove.as_deref().unwrap_or(Path::new("")))
            .args(&command.command)
            .current_dir(&command.current_dir)
            .process_group(0) // Ctrl-C in a terminal is for us, who then end the child in order
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(RunAs { uid, gid }) = command.run_as {
            shell.uid(uid).gid(gid);
        }
        let mut shell = shell.spawn()?;
        let pipe = shell.stdin.take().expect("stdin was piped");
        let stdout = shell.stdout.take().expect("stdout was piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let pid = line.trim().parse().map_err(|_| io::Error::other("the watchdog shell told no process id"))?;
        Ok(Self { shell, pid, _pipe: pipe })
    }

    /// The child's own process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends `signal` to the child.
    pub async fn signal(&self, signal: Signal) -> io::Result<()> {
        send_signal(self.pid, signal).await
    }

    /// Whether the child has ended, and how, without waiting.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.shell.try_wait()
    }

    /// Waits until the child has ended; `None` if it still runs after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        tokio::time::timeout(limit, self.shell.wait()).await.ok().transpose()
    }

    /// Sends `signal`, waits up to `limit`, then kills; returns once the child has ended.
    pub async fn end(&mut self, signal: Signal, limit: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(signal).await?;
        if let Some(status) = self.wait(limit).await? {
            return Ok(status);
        }
        self.signal(Signal::Kill).await?;
        self.shell.wait().await
    }
}

/// Sends `signal` to the process `pid`, through the shell's own `kill`.
pub async fn send_signal(pid: u32, signal: Signal) -> io::Result<()> {
    let output = Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "kill", signal.name(), &pid.to_string()])
        .stdin(Stdio::null())
        .output()
        .await?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "kill -s {} {pid}: {}",
        signal.name(),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> GuardedCommand {
        GuardedCommand {
            command: vec!["sleep".into(), "600".into()],
            current_dir: folder.into(),
            log: folder.join("log"),
            run_as: None,
            last_signal: Signal::Term,
            remove: Some(folder.join("scratch")),
        }
    }

    async fn gone(pid: u32) -> bool {
        for _ in 0..250 {
            if !Path::new(&format!("/proc/{pid}")).exists() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[tokio::test]
    async fn a_dropped_guard_ends_its_child_and_removes_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let guarded = Guarded::spawn(&sleeper(folder.path())).await.unwrap();
        let pid = guarded.pid();
        drop(guarded);
        assert!(gone(pid).await, "the child {pid} still runs");
        for _ in 0..250 {
            if !scratch.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} is still there", scratch.display());
    }

    #[tokio::test]
    async fn an_ended_child_keeps_the_folder_and_tells_its_status() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let mut guarded = Guarded::spawn(&sleeper(folder.path())).await.unwrap();
        assert_eq!(guarded.ended().unwrap(), None);
        let status = guarded.end(Signal::Kill, Duration::from_secs(5)).await.unwrap();
        assert!(!status.success());
        assert!(scratch.exists());
    }
}
