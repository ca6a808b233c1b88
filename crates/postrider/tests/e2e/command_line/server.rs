//! What an integrator does without a browser: endpoints, events, deliveries and keys.

use postrider_testkit::{Behaviour, eventually};
use serde_json::{Value, json};

use super::shell::Shell;
use crate::support::{Context, Deployment, Hook, LIMIT, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![
        an_endpoint_is_made_fed_and_looked_at_from_the_command_line,
        what_failed_is_found_given_up_and_delivered_again_from_the_command_line,
        the_exit_code_says_whether_it_was_refused_or_not_reached
    ]
}

async fn an_endpoint_is_made_fed_and_looked_at_from_the_command_line(context: Context) {
    let mut deployment = Deployment::start(&context, "cli").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let shell = Shell::of(&mut deployment, &tenant);

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

    let since = ["deliveries", "list", "--http-status", "204", "--error", "timeout", "--since", "1h"];
    assert_eq!(shell.json(&since).await["data"], json!([]), "it was answered, and by no error");

    let key = shell.text(&["keys", "tenant", "create", "--name", "reader", "--scope", "endpoints:read"]).await;
    let reader = Shell { url: shell.url.clone(), key: key.trim().to_owned() };
    assert!(reader.text(&["endpoints", "get", &id]).await.contains("by hand"));
    assert_eq!(reader.run(&["deliveries", "list"]).await.code, 4, "a scope that it lacks");
    let keys = shell.json(&["keys", "tenant", "list"]).await;
    let made = keys["data"].as_array().unwrap().iter().find(|it| it["name"] == "reader").unwrap();
    shell.text(&["keys", "tenant", "revoke", made["id"].as_str().unwrap()]).await;
    assert_eq!(reader.run(&["endpoints", "get", &id]).await.code, 4, "a key that was revoked");
    let test = shell.json(&["endpoints", "test", &id]).await;
    assert_eq!(test["delivered"], true, "{test}");
    shell.text(&["endpoints", "delete", &id]).await;
    assert_eq!(shell.run(&["endpoints", "get", &id]).await.code, 4);
}

async fn what_failed_is_found_given_up_and_delivered_again_from_the_command_line(context: Context) {
    let mut deployment = Deployment::start(&context, "cli-dlq").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({"retry": {"delays_seconds": []}})).await;
    receiver.behave("/hook", Behaviour::Always(500));
    deployment.synced().await;
    let shell = Shell::of(&mut deployment, &tenant);
    for id in ["o-1", "o-2"] {
        shell.text(&["events", "publish", "--type", "order.created", "--id", id]).await;
    }
    let letters = async |count: usize| {
        eventually(LIMIT, "the dead letters in the list", async || {
            let page = shell.json(&["dlq", "list", "--error", "http_server_error", "--since", "1h"]).await;
            let open = page["data"].as_array().unwrap().iter().filter(|it| it["state"] == "open").count();
            (open == count).then_some(page)
        })
        .await
    };
    letters(2).await;
    let received = hook.wait_for(2).await;
    let (given_up, other) = (received[0].webhook_id(), received[1].webhook_id());
    let failed = shell.json(&["deliveries", "list", "--http-status", "500", "--status", "failed"]).await;
    assert_eq!(failed["data"].as_array().map(Vec::len), Some(2), "{failed}");
    assert!(shell.text(&["dlq", "get", given_up]).await.contains("http_server_error"));
    let dry = shell.json(&["dlq", "purge", "--endpoint", &hook.id, "--dry-run"]).await;
    assert_eq!(dry, json!({"purged": 0, "left": 2}));
    assert_eq!(shell.run(&["dlq", "purge"]).await.code, 4, "everything at once has to be asked for");
    assert_eq!(shell.json(&["dlq", "purge", "--message", given_up]).await["purged"], 1);
    letters(1).await;

    let dry = shell.text(&["replay", "dead-letters", "--error", "http_server_error", "--dry-run"]).await;
    assert!(dry.contains("1 wanted, 0 sent") && dry.contains(other), "{dry}");
    receiver.behave("/hook", Behaviour::Ok(200));
    let lines = shell.text(&["replay", "dead-letters", "--endpoint", &hook.id, "--json"]).await;
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["state"], &last["progress"]["sent"]), (&json!("done"), &json!(1)), "{lines}");
    hook.wait_for(3).await;
    let id = last["id"].as_str().unwrap();
    assert!(shell.text(&["replay", "list"]).await.contains(id));
    assert_eq!(shell.json(&["replay", "show", id]).await["kind"], "dead_letters");
    assert_eq!(shell.run(&["replay", "pause", id]).await.code, 4, "it has ended");
    let redrive = shell.json(&["dlq", "redrive", "--message", other, "--dry-run"]).await;
    assert_eq!(redrive["dry_run"], true, "{redrive}");
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
    let rejected = postrider(&["replay", "--url", &url, "--api-key", "pr_x", "rejected"], None, &[]).await;
    assert_eq!(rejected.code, 2, "{rejected:?}");
}
