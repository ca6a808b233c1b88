//! The guide, followed to the letter: its own commands lead from nothing to a verified delivery.

use std::{fs, process::Stdio};

use postrider_testkit::{PostriderCommand, PostriderProcess, eventually, free_port};
use serde_json::Value;
use tokio::process::Command;

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
    let [dev, operator, who, endpoint, receive, publish, look, refuse, retrying, mend] = &steps[..] else {
        panic!("the guide has other steps: {steps:#?}")
    };
    assert_eq!(dev, "postrider dev\n");

    let port = free_port().unwrap();
    // As a user would: their own keys, and here a port that is free. After what takes a moment, they look again.
    let with_key = |step: &str, key: &str| step.replace("pr_…", sample[key].as_str().unwrap());
    let script = [
        "set -eu; exec 2>&1; trap 'kill $! || true' EXIT",
        "until_said() { until grep -qF \"$1\" said.txt; do sleep 0.1; done; }",
        &with_key(operator, "operator_key"),
        &with_key(who, "tenant_key"),
        &endpoint.replace(":9000/", &format!(":{port}/")),
        receive,
        &format!("for again in 1 2 3 4 5; do\n{publish}\nsleep 1\ngrep -q '^msg_.*1042' said.txt && break\ndone"),
        &format!("until {{\n{look}\n}} | tee look.txt | grep -qF '\"status\":\"delivered\"'; do sleep 0.1; done"),
        refuse,
        "until_said 'POST /webhooks HTTP/1.1\" 401'",
        &format!("until {{\n{retrying}\n}} | tee retrying.txt | grep -qF '\"last_status\":401'; do sleep 0.1; done"),
        mend,
        "until_said '\"id\": 1043'",
    ]
    .join("\n");
    let folder = tempfile::tempdir().unwrap();
    let said = fs::File::create(folder.path().join("said.txt")).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path()).env("PORT", port.to_string()).env("PYTHONUNBUFFERED", "1");
    bash.stdin(Stdio::null()).stdout(said).kill_on_drop(true);
    let ended = tokio::time::timeout(LIMIT, bash.status()).await;
    let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap_or_default();
    let said = read("said.txt");
    assert!(ended.is_ok_and(|status| status.unwrap().success()), "{said}");
    assert!(said.contains(r#"{"data":[],"next_cursor":null}"#), "the first answer is an empty list: {said}");
    assert!(said.contains(r#""key":"pr_"#), "an operator makes a tenant's key: {said}");
    assert!(said.contains(r#""data":{"id": 1042, "total": 129.9}"#), "{said}");
    assert!(read("look.txt").contains("\"last_status\":204"), "{}", read("look.txt"));
    assert!(read("retrying.txt").contains("order-1043-created"), "{}", read("retrying.txt"));
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
