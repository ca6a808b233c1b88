//! What deliveries come to.

use postrider_testkit::{Behaviour, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Tenant, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        deliveries_are_counted_by_endpoint_and_type_over_time,
        what_was_delivered_at_once_is_counted_though_it_is_not_logged
    ]
}

/// Analytics, once this many deliveries have ended.
async fn summary(tenant: &Tenant, query: &str, ended: u64) -> Value {
    let path = format!("/v1/analytics/summary?{query}");
    eventually(LIMIT, "the deliveries to be counted", async || {
        let (status, body) = tenant.api.get(&path).await.ok()?;
        assert!(status.is_success(), "{body}");
        let count = |name: &str| body["counts"][name].as_u64().unwrap();
        (count("delivered") + count("failed") >= ended).then_some(body)
    })
    .await
}

async fn deliveries_are_counted_by_endpoint_and_type_over_time(context: Context) {
    const EACH: u64 = 20;
    let deployment = Deployment::start(&context, "analytics").await;
    let (tenant, stranger) = (deployment.tenant().await, deployment.tenant().await);
    let receiver = deployment.receiver().await;
    let good = Hook::create(&tenant, &receiver, "/good", json!({})).await;
    let bad = json!({"event_types": ["order.paid"], "retry": {"delays_seconds": []}});
    let bad = Hook::create(&tenant, &receiver, "/bad", bad).await;
    receiver.behave("/bad", Behaviour::Always(422)); // Not what opens a breaker: all is to end.
    deployment.synced().await;
    for number in 0..EACH {
        for event_type in ["order.created", "order.paid"] {
            let id = format!("{event_type}-{number}");
            deployment.write(&event(&deployment, &tenant, &id, event_type, &json!(number))).await;
        }
    }

    let all = summary(&tenant, "", EACH * 3).await;
    let counts = &all["counts"];
    assert_eq!((&counts["delivered"], &counts["failed"]), (&json!(EACH * 2), &json!(EACH)), "{all:#}");
    assert_eq!((&counts["attempts"], &counts["failed_attempts"]), (&json!(EACH * 3), &json!(EACH)));
    assert_eq!(all["errors"], json!([{ "error": "http_client_error", "count": EACH }]));
    let latency = &all["latency"];
    assert!(latency["p50_ms"].as_f64().unwrap() > 0.0 && latency["max_ms"].as_f64() >= latency["p50_ms"].as_f64());
    for (query, ended) in [
        (format!("endpoint_id={}", good.id), EACH * 2),
        (format!("endpoint_id={}", bad.id), EACH),
        ("event_type=order.created".to_owned(), EACH),
    ] {
        let found = summary(&tenant, &query, ended).await;
        let count = |name: &str| found["counts"][name].as_u64().unwrap();
        assert_eq!(count("delivered") + count("failed"), ended, "{query}: {found:#}");
    }
    assert_eq!(summary(&stranger, "", 0).await["counts"]["attempts"], json!(0));

    let (_, failing) = tenant.api.get("/v1/analytics/failing-endpoints").await.unwrap();
    assert_eq!((&failing["data"][0]["endpoint_id"], failing["data"].as_array().unwrap().len()), (&json!(bad.id), 1));
    let (_, objective) = tenant.api.get("/v1/analytics/objective?within_seconds=3600").await.unwrap();
    assert_eq!((&objective["good"], &objective["total"]), (&json!(EACH * 2), &json!(EACH * 3)), "{objective:#}");
    let (_, series) = tenant.api.get("/v1/analytics/series?step=minute").await.unwrap();
    let delivered: u64 =
        series["data"].as_array().unwrap().iter().map(|point| point["counts"]["delivered"].as_u64().unwrap()).sum();
    assert_eq!(delivered, EACH * 2);
    everything_else_says_the_same(&deployment, &tenant, EACH).await;
}

/// By event type, as CSV and of the whole deployment: of `each` orders created and as many paid, which one endpoint of two
/// refuses.
async fn everything_else_says_the_same(deployment: &Deployment, tenant: &Tenant, each: u64) {
    let (_, types) = tenant.api.get("/v1/analytics/event-types").await.unwrap();
    let types = types["data"].as_array().unwrap();
    let counts = |name: &str| &types.iter().find(|it| it["event_type"] == name).unwrap()["counts"];
    let (paid, created) = (counts("order.paid"), counts("order.created"));
    assert_eq!((&paid["delivered"], &paid["failed"], &paid["success_rate"]), (&json!(each), &json!(each), &json!(0.5)));
    assert_eq!((&created["delivered"], &created["failed"]), (&json!(each), &json!(0)), "{types:#?}");
    let (_, of_all) = deployment.operator().get("/v1/analytics/summary").await.unwrap();
    assert_eq!(of_all["counts"]["attempts"], json!(each * 3), "{of_all:#}");
    assert!(of_all["deliveries_per_second"].as_f64().unwrap() > 0.0);

    let request = tenant.api.request(Method::GET, "/v1/analytics/series.csv?step=hour");
    let csv = request.send().await.unwrap().text().await.unwrap();
    let mut lines = csv.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let delivered = columns.iter().position(|name| *name == "delivered").unwrap();
    let sum: u64 = lines.map(|line| line.split(',').nth(delivered).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, each * 2, "{csv}");
}

async fn what_was_delivered_at_once_is_counted_though_it_is_not_logged(context: Context) {
    let settings = "[projector]\nlog = \"failures\"";
    let deployment = Deployment::with(&context, "failures", settings).await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    Hook::create(&tenant, &receiver, "/good", json!({})).await;
    let flaky = json!({"retry": {"delays_seconds": [1]}});
    Hook::create(&tenant, &receiver, "/flaky", flaky).await;
    receiver.behave("/flaky", Behaviour::FailTimes(1, 500));
    deployment.synced().await;
    for number in 0..5 {
        let id = format!("order-{number}");
        deployment.write(&event(&deployment, &tenant, &id, "order.created", &json!(number))).await;
    }
    assert_eq!(summary(&tenant, "", 10).await["counts"]["delivered"], json!(10));
    let logged = tenant.deliveries("status=delivered", 1).await;
    assert_eq!((logged.len(), &logged[0]["attempt"]), (1, &json!(2)), "only what failed first is there: {logged:#?}");
}
