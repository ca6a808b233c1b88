//! What an integrator does without a browser: endpoints, events, deliveries, keys, and watching.

use std::time::Duration;

use postrider_testkit::{Receiver, eventually};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Finished, Hook, LIMIT, Running, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![
        an_endpoint_is_made_fed_and_looked_at_from_the_command_line,
        the_exit_code_says_whether_it_was_refused_or_not_reached,
        tail_prints_deliveries_as_they_go,
        listen_posts_what_is_delivered_to_a_port_of_this_machine
    ]
}

/// How long tail is waited for before something new is published for it.
const PATIENCE: Duration = Duration::from_secs(4);

struct Shell {
    url: String,
    key: String,
}

impl Shell {
    async fn run(&self, line: &[&str]) -> Finished {
        let environment = [("POSTRIDER_URL", self.url.as_str()), ("POSTRIDER_API_KEY", self.key.as_str())];
        postrider(line, None, &environment).await
    }

    /// Runs a command that must succeed.
    async fn text(&self, line: &[&str]) -> String {
        let finished = self.run(line).await;
        assert_eq!(finished.code, 0, "{line:?}: {finished:?}");
        finished.stdout
    }

    /// The same with `--json`.
    async fn json(&self, line: &[&str]) -> Value {
        let with_json = [&line[..1], &["--json"], &line[1..]].concat();
        serde_json::from_str(&self.text(&with_json).await).unwrap()
    }
}

async fn an_endpoint_is_made_fed_and_looked_at_from_the_command_line(context: Context) {
    let mut deployment = Deployment::start(&context, "cli").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let shell = Shell { url: deployment.service().process.api_url(), key: tenant.key.clone() };

    let hook = receiver.url("/hook");
    let create = ["endpoints", "create", "--name", "by hand", "--to", &hook, "--event-type", "order.*"];
    let endpoint = shell.json(&create).await;
    let id = endpoint["id"].as_str().unwrap().to_owned();
    receiver.verify("/hook", endpoint["secret"].as_str().unwrap()).unwrap();
    assert!(shell.text(&["endpoints", "list"]).await.contains("by hand"));
    let update = ["endpoints", "update", &id, r#"{"timeout_ms": 5000}"#];
    assert_eq!(shell.json(&update).await["timeout_ms"], 5000);
    assert_eq!(shell.json(&["endpoints", "pause", &id]).await["paused"], true);
    assert_eq!(shell.json(&["endpoints", "resume", &id, "--held", "all"]).await["paused"], false);
    assert_eq!(shell.json(&["endpoints", "disable", &id, "--reason", "moving"]).await["enabled"], false);
    assert_eq!(shell.json(&["endpoints", "enable", &id]).await["enabled"], true);
    deployment.synced().await;

    let publish = ["events", "publish", "--type", "order.created", "--id", "o-1", "--data", r#"{"total": 1}"#];
    assert_eq!(shell.json(&publish).await["id"], "o-1");
    receiver.wait_for("/hook", 1, LIMIT).await;
    assert_eq!(receiver.bad_signatures("/hook"), 0);
    let delivery = eventually(LIMIT, "the delivery in the list", async || {
        let page = shell.json(&["deliveries", "list", "--status", "delivered", "--endpoint", &id]).await;
        page["data"].get(0).cloned()
    })
    .await;
    let message = delivery["message_id"].as_str().unwrap();
    assert!(shell.text(&["deliveries", "get", message]).await.contains("attempt 1"));

    let key = shell.text(&["keys", "tenant", "create", "--name", "reader", "--scope", "endpoints:read"]).await;
    let reader = Shell { url: shell.url.clone(), key: key.trim().to_owned() };
    assert!(reader.text(&["endpoints", "get", &id]).await.contains("by hand"));
    assert_eq!(reader.run(&["deliveries", "list"]).await.code, 4, "a scope that it lacks");
    shell.text(&["endpoints", "delete", &id]).await;
    assert_eq!(shell.run(&["endpoints", "get", &id]).await.code, 4);
}

async fn the_exit_code_says_whether_it_was_refused_or_not_reached(context: Context) {
    let mut deployment = Deployment::start(&context, "codes").await;
    let url = deployment.service().process.api_url();
    let stranger = Shell { url: url.clone(), key: "pr_nobody".to_owned() };
    let refused = stranger.run(&["endpoints", "list"]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.one_line().contains("401"), "{refused:?}");
    let nowhere = Shell { url: "http://127.0.0.1:9".to_owned(), key: "pr_nobody".to_owned() };
    let unreached = nowhere.run(&["endpoints", "list"]).await;
    assert_eq!(unreached.code, 5, "{unreached:?}");
    assert!(unreached.one_line().contains("http://127.0.0.1:9"), "{unreached:?}");
    let keyless = postrider(&["endpoints", "--url", &url, "list"], None, &[]).await;
    assert_eq!(keyless.code, 2, "{keyless:?}");
    assert!(keyless.one_line().contains("POSTRIDER_API_KEY"), "{keyless:?}");
    let completions = postrider(&["completions", "bash"], None, &[]).await;
    assert!(completions.code == 0 && completions.stdout.contains("deliveries"), "{completions:?}");
}

async fn tail_prints_deliveries_as_they_go(context: Context) {
    let mut deployment = Deployment::start(&context, "tail").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    deployment.synced().await;
    let url = deployment.service().process.api_url();
    let mut tail = Running::start(&["tail", "--url", &url, "--api-key", &tenant.key], "");
    // It begins with what comes after its first look: until it has said something, something new comes.
    let deadline = tokio::time::Instant::now() + LIMIT;
    for number in 1.. {
        tenant.publish(&json!({"type": "order.created", "id": format!("o-{number}"), "data": {}})).await;
        hook.wait_for(number).await;
        if tokio::time::timeout(PATIENCE, tail.says("delivered")).await.is_ok() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "tail prints nothing");
    }
    tail.kill().await;
}

async fn listen_posts_what_is_delivered_to_a_port_of_this_machine(context: Context) {
    let mut deployment = Deployment::start(&context, "listen").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    deployment.synced().await;
    let url = deployment.service().process.api_url();
    let local = Receiver::start().unwrap();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    local.verify("/dev", secret).unwrap();
    let target = local.url("/dev");
    let key = tenant.key.as_str();
    let listen =
        ["listen", "--url", &url, "--api-key", key, "--forward-to", &target, "--secret", secret, "--count", "1"];
    let listen = Running::start(&listen, "");
    let deadline = tokio::time::Instant::now() + LIMIT;
    for number in 1.. {
        tenant.publish(&json!({"type": "order.created", "id": format!("o-{number}"), "data": {"n": number}})).await;
        hook.wait_for(number).await;
        tokio::time::sleep(PATIENCE).await;
        if local.count("/dev") > 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "listen posts nothing");
    }
    assert_eq!(listen.ends().await.0, 0);
    assert_eq!(local.bad_signatures("/dev"), 0);
    let posted = local.received("/dev").remove(0);
    let delivered = hook.received();
    let original = delivered.iter().find(|it| it.webhook_id() == posted.webhook_id()).expect("it was delivered, too");
    assert_eq!(posted.body, original.body);
}
