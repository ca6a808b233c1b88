//! The guide, followed to the letter: its own commands lead from nothing to a verified delivery.

use std::{fs, path::Path, process::Stdio};

use postrider_testkit::{PostriderCommand, PostriderProcess, eventually};
use serde_json::Value;
use tokio::{net::TcpListener, process::Command};

use crate::support::{Context, LIMIT, Test, binary, tests};

pub fn tests() -> Vec<Test> {
    tests![the_guides_own_commands_lead_to_a_verified_delivery]
}

async fn the_guides_own_commands_lead_to_a_verified_delivery(_: Context) {
    let command = PostriderCommand {
        program: binary(),
        arguments: ["dev", "--output", "json"].map(str::to_owned).into(),
        config: String::new(),
        environment: Vec::new(),
    };
    let process = PostriderProcess::start(&command).unwrap();
    let sample = eventually(LIMIT, "dev to say where everything is", async || {
        let output = process.output();
        output.lines().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|it| it["kafka"].is_string()))
    })
    .await;
    let guide = format!("{}/docs/guide", sample["api"].as_str().unwrap());
    let guide = reqwest::get(guide).await.unwrap().text().await.unwrap();
    let chapter = guide.split("<h2 id=\"getting-started\">").nth(1).unwrap().split("<h2").next().unwrap();
    let steps = code(chapter, "sh");
    let [who, endpoint, publish, look] = &steps[..] else { panic!("the guide has other steps: {steps:#?}") };
    let receiver = code(chapter, "python").remove(0);

    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    fs::write(folder.path().join("receiver.py"), receiver).unwrap();
    // As a user would: their own key, and here a port that is free.
    let key = sample["tenant_key"].as_str().unwrap();
    let own_key = |line: &str| {
        let name = "export POSTRIDER_API_KEY=";
        if line.starts_with(name) { format!("{name}{key}") } else { line.to_owned() }
    };
    let who = who.lines().map(own_key);
    let who = who.collect::<Vec<_>>().join("\n");
    let endpoint = endpoint.replace(":9000", &format!(":{port}"));
    let script = format!(
        "set -eu\n{who}\n{endpoint}\nPORT={port} python3 receiver.py >received.txt 2>receiver.log &\n\
         trap \"kill $!\" EXIT\n\
         for try in $(seq 60); do\n{publish}\nsleep 1\n[ -s received.txt ] && break\ndone\n\
         sleep 2\n{{ {look}\n}} >deliveries.json\n"
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT * 2, bash.output()).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let read = |file: &str| fs::read_to_string(Path::new(folder.path()).join(file)).unwrap_or_default();
    assert!(output.status.success(), "{said}\n{}", read("receiver.log"));
    let received = read("received.txt");
    assert!(received.starts_with("msg_") && received.contains("\"total\": 129.9"), "{received}\n{said}");
    assert!(!read("receiver.log").contains(" 401 "), "{}", read("receiver.log"));
    assert!(read("deliveries.json").contains("\"status\":\"delivered\""), "{}", read("deliveries.json"));
}

/// The blocks of code in a language.
fn code(html: &str, language: &str) -> Vec<String> {
    let start = format!("<pre><code class=\"language-{language}\">");
    let blocks = html.split(&start).skip(1).map(|rest| rest.split("</code>").next().unwrap());
    let unescaped = |text: &str| {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    };
    blocks.map(unescaped).collect()
}
