//! A throwaway Postgres of our own: `initdb` and `postgres` in a folder, on a free port of the loopback interface.
//!
//! For `postrider dev` and for tests: it trusts whoever connects from this machine, and does not wait for the disk: what
//! was committed survives a kill of the server, not one of the machine.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

mod guarded;
mod port;
mod script;

pub use guarded::{Guarded, GuardedCommand, RunAs, Signal, send_signal};
pub use port::free_port;
pub use script::run_script;

/// Names the folder of the server binaries, before PATH and Debian's own place are searched.
pub const BINARIES_VARIABLE: &str = "POSTRIDER_POSTGRES_BIN";

/// Where Debian puts `<major>/bin/initdb`, on no PATH.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";
/// Under a loaded machine a start takes seconds; recovery after a kill somewhat longer.
const START_LIMIT: Duration = Duration::from_secs(45);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Why a local Postgres could not be started or used.
#[derive(Debug, thiserror::Error)]
pub enum LocalPostgresError {
    /// No `initdb` and `postgres` anywhere.
    #[error(
        "no PostgreSQL server found (looked at ${BINARIES_VARIABLE}, PATH and {DEBIAN_ROOT}/*/bin): install the \
         package `postgresql`, or set {BINARIES_VARIABLE} to the folder of `initdb` and `postgres`"
    )]
    NoBinaries,
    /// Running as root, which Postgres refuses, and no other user to run it as.
    #[error("Postgres does not run as root, and /etc/passwd has neither `postgres` nor `nobody` to run it as")]
    NoUser,
    /// The file system or a process start failed.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed in {folder}: {output}", folder = folder.display())]
    InitDb {
        /// The folder to be initialised.
        folder: PathBuf,
        /// What it printed.
        output: String,
    },
    /// The server ended, or did not accept connections in time.
    #[error("Postgres did not come up on port {port}; the end of its log:\n{log}")]
    NotReady {
        /// The port it was to listen on.
        port: u16,
        /// Its last lines.
        log: String,
    },
    /// The service's login could not be made.
    #[error("cannot make the service's login: {source}")]
    ServiceLogin {
        /// What the server said.
        source: sqlx::Error,
    },
    /// A statement on the server failed.
    #[error("cannot create the database {name}: {source}")]
    CreateDatabase {
        /// The database asked for.
        name: String,
        /// What the server said.
        source: sqlx::Error,
    },
}

/// The login of the service on servers of our own.
const SERVICE_LOGIN: &str = "postrider";
const MAKE_SERVICE_LOGIN: &str = "
    DO $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postrider_service') THEN
            CREATE ROLE postrider_service NOLOGIN;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postrider') THEN
            CREATE ROLE postrider LOGIN IN ROLE postrider_service;
        END IF;
    END
    $$";

/// A running local Postgres. Dropping it stops the server; a temporary folder goes with it.
#[derive(Debug)]
pub struct LocalPostgres {
    binaries: PathBuf,
    folder: PathBuf,
    /// The folder, when it is temporary.
    temporary: Option<TempDir>,
    run_as: Option<RunAs>,
    port: u16,
    settings: Vec<String>,
    server: Option<Guarded>,
}

impl LocalPostgres {
    /// Starts a server in `dir` (made, and initialised if it is empty), or in a temporary folder.
    pub async fn start(dir: Option<PathBuf>) -> Result<Self, LocalPostgresError> {
        Self::start_with(dir, &[]).await
    }

    /// Starts a server with these settings (`name=value`) in the place of ours.
    pub async fn start_with(dir: Option<PathBuf>, settings: &[&str]) -> Result<Self, LocalPostgresError> {
        let binaries = find_binaries().ok_or(LocalPostgresError::NoBinaries)?;
        let run_as = other_user_if_root()?;
        let temporary = match dir {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("postrider-postgres-")
                    .tempdir()
                    .map_err(io_error("make a folder in", &std::env::temp_dir()))?,
            ),
        };
        let folder = match (&temporary, dir) {
            (Some(temporary), _) => temporary.path().to_owned(),
            (None, dir) => std::path::absolute(dir.unwrap_or_default()).unwrap_or_default(),
        };
        std::fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
        if let Some(RunAs { uid, gid }) = run_as {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))
                .map_err(io_error("change the owner of", &folder))?;
        }
        let port = free_port().map_err(io_error("find a free port for", &folder))?;
        let settings = settings.iter().map(ToString::to_string).collect();
        let mut postgres = Self { binaries, folder, temporary, run_as, port, settings, server: None };
        if !postgres.data().join("PG_VERSION").exists() {
            postgres.init().await?;
        }
        postgres.launch().await?;
        postgres.make_service_login().await?;
        Ok(postgres)
    }

    /// The connection URL of `database` on this server.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The same for the service: a login that owns nothing and can't pass row-level security.
    pub fn service_url(&self, database: &str) -> String {
        format!("postgres://{SERVICE_LOGIN}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The connection URL of `database` by the server's socket: for what is on the same machine and wants to be quick.
    pub fn socket_url(&self, database: &str) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        format!("postgres://postgres@localhost:{port}/{database}?host={folder}&sslmode=disable")
    }

    /// The folder of the server's programs, and of those that come with it.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// The folder that holds the data, the log and the socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Guarded::pid)
    }

    /// Creates an empty database and returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String, LocalPostgresError> {
        let failed = |source| LocalPostgresError::CreateDatabase { name: name.to_owned(), source };
        let mut connection = PgConnection::connect(&self.url("postgres")).await.map_err(failed)?;
        let quoted = name.replace('"', "\"\"");
        connection.execute(sqlx::AssertSqlSafe(format!(r#"CREATE DATABASE "{quoted}""#))).await.map_err(failed)?;
        connection.close().await.map_err(failed)?;
        Ok(self.url(name))
    }

    /// Makes the service's role before any migration does, and its login.
    async fn make_service_login(&self) -> Result<(), LocalPostgresError> {
        let failed = |source| LocalPostgresError::ServiceLogin { source };
        let mut connection = PgConnection::connect(&self.url("postgres")).await.map_err(failed)?;
        connection.execute(MAKE_SERVICE_LOGIN).await.map_err(failed)?;
        connection.close().await.map_err(failed)
    }

    /// Stops the server in order: transactions are rolled back, clients cut off, everything written.
    pub async fn stop(&mut self) -> Result<(), LocalPostgresError> {
        self.end(Signal::Int).await
    }

    /// Stops the server at once, as a crash would: the next start recovers from its log.
    pub async fn kill(&mut self) -> Result<(), LocalPostgresError> {
        self.end(Signal::Quit).await
    }

    /// Starts the server again, on the same port and folder; stops it first if it still runs.
    pub async fn restart(&mut self) -> Result<(), LocalPostgresError> {
        self.stop().await?;
        self.launch().await
    }

    /// The same with other settings (`name=value`) in the place of ours.
    pub async fn restart_with(&mut self, settings: &[&str]) -> Result<(), LocalPostgresError> {
        self.settings = settings.iter().map(ToString::to_string).collect();
        self.restart().await
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    async fn end(&mut self, signal: Signal) -> Result<(), LocalPostgresError> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let ended = server.end(signal, STOP_LIMIT).await;
        ended.map(|_| ()).map_err(io_error("stop the server in", &self.folder))
    }

    async fn init(&self) -> Result<(), LocalPostgresError> {
        let program = self.binaries.join("initdb");
        let mut command = Command::new(&program);
        command
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pgdata")
            .arg(self.data())
            .current_dir(&self.folder)
            .kill_on_drop(true);
        if let Some(RunAs { uid, gid }) = self.run_as {
            command.uid(uid).gid(gid);
        }
        let output = command.output().await.map_err(io_error("run", &program))?;
        if output.status.success() {
            return Ok(());
        }
        Err(LocalPostgresError::InitDb {
            folder: self.folder.clone(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    async fn launch(&mut self) -> Result<(), LocalPostgresError> {
        let program = self.binaries.join("postgres");
        let command = GuardedCommand {
            command: self.server_command(&program),
            current_dir: self.folder.clone(),
            log: self.log(),
            run_as: self.run_as,
            last_signal: Signal::Quit,
            remove: self.temporary.as_ref().map(|temporary| temporary.path().to_owned()),
        };
        let server = Guarded::spawn(&command).await.map_err(io_error("run", &program))?;
        self.server = Some(server);
        self.wait_ready().await
    }

    fn server_command(&self, program: &Path) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![program.into(), "-D".into(), self.data().into()];
        command.extend(["-p".into(), self.port.to_string().into(), "-k".into(), self.folder.clone().into()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            "shared_buffers=64MB",
            "fsync=off",
            "full_page_writes=off",
        ] {
            command.extend(["-c".into(), setting.into()]);
        }
        for setting in &self.settings {
            command.extend(["-c".into(), setting.into()]);
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    async fn wait_ready(&mut self) -> Result<(), LocalPostgresError> {
        let deadline = Instant::now() + START_LIMIT;
        let url = self.url("postgres");
        loop {
            if let Ok(connection) = PgConnection::connect(&url).await {
                let _ = connection.close().await; // it was only to see that the server answers
                return Ok(());
            }
            let ended = self.server.as_mut().is_none_or(|server| !matches!(server.ended(), Ok(None)));
            if ended || Instant::now() > deadline {
                self.server = None;
                return Err(LocalPostgresError::NotReady { port: self.port, log: last_lines(&self.log()) });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        if self.server.is_some()
            && let Some(temporary) = self.temporary.take()
        {
            let _ = temporary.keep(); // the watchdog removes it once the server has ended
        }
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LocalPostgresError {
    let path = path.to_owned();
    move |source| LocalPostgresError::Io { what, path, source }
}

fn find_binaries() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(BINARIES_VARIABLE) {
        return Some(PathBuf::from(folder)).filter(|folder| has_binaries(folder));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| has_binaries(folder));
    on_path.or_else(|| newest_debian(Path::new(DEBIAN_ROOT)))
}

fn has_binaries(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

fn newest_debian(root: &Path) -> Option<PathBuf> {
    let majors = std::fs::read_dir(root).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        let major: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((major, entry.path().join("bin")))
    });
    majors.filter(|(_, bin)| has_binaries(bin)).max().map(|(_, bin)| bin)
}

/// Postgres refuses to run as root; whoever owns a file that we make is who we are.
fn other_user_if_root() -> Result<Option<RunAs>, LocalPostgresError> {
    let probe = tempfile::tempfile().and_then(|file| file.metadata());
    let probe = probe.map_err(io_error("make a file in", &std::env::temp_dir()))?;
    if probe.uid() != 0 {
        return Ok(None);
    }
    let passwd = Path::new("/etc/passwd");
    let users = std::fs::read_to_string(passwd).map_err(io_error("read", passwd))?;
    let found = ["postgres", "nobody"].into_iter().find_map(|name| user(&users, name));
    found.map(Some).ok_or(LocalPostgresError::NoUser)
}

/// The ids of `name` in the text of a passwd(5) file.
fn user(passwd: &str, name: &str) -> Option<RunAs> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        Some(RunAs { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Runs any statement, as whoever has the database can: for tests that tamper with it.
pub async fn execute(conn: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104:admin:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(user(passwd, "postgres"), Some(RunAs { uid: 101, gid: 104 }));
        assert_eq!(user(passwd, "post"), None);
    }

    #[test]
    fn the_newest_installed_server_is_taken() {
        let root = tempfile::tempdir().unwrap();
        for major in ["9", "15", "16"] {
            let bin = root.path().join(major).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            std::fs::write(bin.join("initdb"), "").unwrap();
            if major != "16" {
                std::fs::write(bin.join("postgres"), "").unwrap();
            }
        }
        assert_eq!(newest_debian(root.path()), Some(root.path().join("15/bin")));
    }

    #[tokio::test]
    async fn it_starts_creates_a_database_survives_a_kill_and_leaves_nothing() {
        let mut postgres = LocalPostgres::start(None).await.unwrap();
        let url = postgres.create_database("orders").await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection.execute("CREATE TABLE kept (id int)").await.unwrap();
        drop(connection);
        postgres.kill().await.unwrap();
        assert_eq!(postgres.pid(), None);
        postgres.restart().await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection.execute("SELECT id FROM kept").await.unwrap();
        drop(connection);
        let (folder, pid) = (postgres.folder().to_owned(), postgres.pid().unwrap());
        drop(postgres);
        let deadline = Instant::now() + Duration::from_secs(10);
        while folder.exists() || Path::new(&format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < deadline, "{} or process {pid} is still there", folder.display());
            tokio::time::sleep(POLL).await;
        }
    }
}
