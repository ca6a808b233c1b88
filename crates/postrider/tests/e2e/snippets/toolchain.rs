//! Running snippets with the toolchains of their languages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use postrider_testkit::{eventually, free_port};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::support::LIMIT;

/// Serves the one handler that a route of Next.js exports.
const ROUTE_SERVER: &str = r#"
import { createServer } from "node:http";
import { POST } from "./route.js";
createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const answer = await POST(
    new Request("http://localhost" + request.url, { method: "POST", headers: request.headers, body: Buffer.concat(chunks) }),
  );
  response.writeHead(answer.status).end();
}).listen(Number(process.env.PORT), "127.0.0.1");
"#;

/// What `make setup` fetched.
pub fn tools() -> PathBuf {
    let folder = std::env::var_os("POSTRIDER_SNIPPETS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/snippets"), PathBuf::from);
    assert!(folder.join("stamp").is_file(), "{} is not complete: run `make setup`", folder.display());
    folder.canonicalize().unwrap()
}

fn kafka_jars() -> PathBuf {
    std::env::var_os("POSTRIDER_KAFKA_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kafka-4.1.0"), PathBuf::from)
}

/// A snippet, built, and the command that runs it.
pub struct Program {
    command: Command,
    folder: TempDir,
}

/// A receiver that listens. Dropping it kills it.
pub struct Listening {
    /// Where deliveries are to be posted.
    pub url: String,
    _child: Child,
    _folder: TempDir,
}

impl Program {
    /// Builds a snippet as the API gives it.
    pub async fn of(snippet: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let id = snippet["id"].as_str().unwrap();
        let file = Path::new(snippet["file"].as_str().unwrap()).file_name().unwrap();
        let source = at.join(file);
        fs::write(&source, snippet["code"].as_str().unwrap()).unwrap();
        let mut command = match snippet["language"].as_str().unwrap() {
            "JavaScript" | "TypeScript" => javascript(at, id, &source).await,
            "Python" => {
                let mut python = Command::new(tools().join("python/bin/python"));
                python.arg(&source).env("PYTHONDONTWRITEBYTECODE", "1");
                python
            }
            "Go" => go(at, &source).await,
            "Java" => java(at, id, &source).await,
            other => panic!("nothing here runs {other}"),
        };
        command.current_dir(at).stdin(Stdio::null()).kill_on_drop(true);
        Self { command, folder }
    }

    /// Starts a receiver, and waits until it listens.
    pub async fn listen(mut self, secret: &str) -> Listening {
        let port = free_port().unwrap();
        let variables = [("PORT", port.to_string()), ("SERVER_PORT", port.to_string())];
        let child = self.command.envs(variables).env("WEBHOOK_SECRET", secret).env("SERVER_ADDRESS", "127.0.0.1");
        let said = self.folder.path().join("said.txt");
        let mut child = child.stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
        eventually(LIMIT, "the snippet to listen", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", fs::read_to_string(&said).unwrap());
            }
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Listening { url: format!("http://127.0.0.1:{port}/webhooks"), _child: child, _folder: self.folder }
    }

    /// Runs it to its end, which must be a success.
    pub async fn run(mut self, environment: &[(&str, &str)]) {
        succeed(self.command.envs(environment.iter().copied())).await;
    }
}

async fn javascript(at: &Path, id: &str, source: &Path) -> Command {
    let modules = tools().join("node/node_modules");
    std::os::unix::fs::symlink(&modules, at.join("node_modules")).unwrap();
    fs::write(at.join("package.json"), r#"{"type": "module"}"#).unwrap();
    let mut node = Command::new("node");
    match id {
        "nextjs" => {
            fs::write(at.join("serve.js"), ROUTE_SERVER).unwrap();
            node.arg(at.join("serve.js"));
        }
        "typescript" => {
            // What comes with Node and the language is not ours to check, and takes longer than all of ours.
            let options =
                ["--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "--types", "node"];
            succeed(
                Command::new("node").arg(modules.join("typescript/bin/tsc")).args(options).arg(source).current_dir(at),
            )
            .await;
            node.arg(source.with_extension("js"));
        }
        _ => {
            node.arg(source);
        }
    }
    node
}

async fn go(at: &Path, source: &Path) -> Command {
    for file in ["go.mod", "go.sum"] {
        fs::copy(tools().join("go").join(file), at.join(file)).unwrap();
    }
    let program = at.join("program");
    succeed(Command::new("go").args(["build", "-o"]).arg(&program).arg(source).current_dir(at)).await;
    Command::new(program)
}

async fn java(at: &Path, id: &str, source: &Path) -> Command {
    let jars = if id == "java-kafka" { kafka_jars() } else { tools().join("java") };
    let classes = format!("{}:{}/*", at.display(), jars.display());
    succeed(Command::new("javac").args(["-parameters", "-cp", &classes, "-d"]).arg(at).arg(source)).await;
    let main = if id == "spring" { "com.example.webhooks.Receiver" } else { "Publish" };
    let mut java = Command::new("java");
    // As light as it goes: nothing here runs for long.
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", &classes, main]);
    java
}

/// Runs a command to its end, and shows what it said if that is a failure.
pub async fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, output).await.expect("the command still runs").unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&said));
}
