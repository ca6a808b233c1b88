//! `postrider audit verify`, as its users call it.

use postrider_testkit::{ApiClient, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![every_change_is_chained_and_the_chain_verifies, the_chain_goes_on_when_another_process_takes_over]
}

async fn every_change_is_chained_and_the_chain_verifies(context: Context) {
    let deployment = Deployment::start(&context, "audit").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/audited", json!({})).await;
    tenant.patch_endpoint(&hook.id, &json!({"name": "renamed"})).await;
    tenant.create_key(&["events:publish"]).await;

    let records = eventually(LIMIT, "every record to be chained", async || {
        let records = tenant.list("/v1/audit-log?limit=100").await;
        records.iter().all(|record| record["chain_seq"].is_i64()).then_some(records)
    })
    .await;
    let actions: Vec<&str> = records.iter().rev().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions.first(), Some(&"tenant.create"), "{actions:?}");
    for action in ["endpoint.create", "endpoint.update", "api_key.create"] {
        assert!(actions.contains(&action), "{actions:?}");
    }

    let (code, verdict) = verify(&deployment, &[]).await;
    assert_eq!((code, &verdict["fault_count"], &verdict["first"]), (0, &json!(0), &json!(1)), "{verdict}");
    let head = verdict["head"].as_str().unwrap().to_owned();
    let (code, verdict) = verify(&deployment, &["--noted", &head]).await;
    assert_eq!((code, &verdict["fault_count"]), (0, &json!(0)), "{verdict}");
    let (seq, _) = head.split_once(':').unwrap();
    let (code, verdict) = verify(&deployment, &["--noted", &format!("{seq}:00")]).await;
    assert_eq!((code, &verdict["fault_count"]), (1, &json!(1)), "{verdict}");
}

async fn the_chain_goes_on_when_another_process_takes_over(context: Context) {
    const CHANGES: usize = 20;
    let mut deployment = Deployment::start(&context, "audit-failover").await;
    let mut second = deployment.serve(&["--roles", "api,relay"]);
    second.ready().await;
    let tenant = deployment.tenant().await;
    let at_second = ApiClient::new(&second.process.api_url(), &tenant.key);
    let change = async |api: &ApiClient, number: usize| {
        let input = json!({"name": format!("key {number}"), "scopes": ["endpoints:read"]});
        assert_eq!(api.post("/v1/api-keys", &input).await.unwrap().0, StatusCode::CREATED);
    };
    // Both make changes while one chains them, and the other goes on alone.
    let changes = (0..CHANGES).map(|number| change([&tenant.api, &at_second][number % 2], number));
    futures::future::join_all(changes).await;
    deployment.kill().await;
    for number in 0..CHANGES {
        change(&at_second, number).await;
    }
    let verdict = eventually(LIMIT, "every change to be chained", async || {
        let (_, page) = at_second.get("/v1/audit-log?limit=1").await.unwrap();
        let newest = page["data"][0]["chain_seq"].as_i64()?;
        let (code, verdict) = verify(&deployment, &[]).await;
        (verdict["links"] == newest && code == 0).then_some(verdict)
    })
    .await;
    assert!(verdict["links"].as_u64().is_some_and(|links| links >= 2 * CHANGES as u64), "{verdict}");
    assert_eq!((&verdict["first"], &verdict["expired"]), (&json!(1), &json!(0)), "{verdict}");
    assert!(second.terminate().await.success());
}

async fn verify(deployment: &Deployment, more: &[&str]) -> (i32, Value) {
    let arguments: Vec<&str> = ["audit", "verify", "--output", "json"].iter().chain(more).copied().collect();
    let finished = postrider(&arguments, Some(&deployment.settings.to_text()), &[]).await;
    let verdict = serde_json::from_str(finished.stdout.trim()).unwrap_or_else(|_| panic!("{finished:?}"));
    (finished.code, verdict)
}
