//! `postrider explain` says why a subscription does not match an event.

use serde_json::{Value, json};

use crate::support::{Context, Finished, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![a_subscription_that_does_not_match_is_explained, what_can_not_be_read_is_named]
}

const SUBSCRIPTION: &str = r#"{"id": "sub_01jd2x9vq3m7k8n5p4r6s0t1w2", "event_types": ["order.*"], "filter": {"all": [
    {"field": "data.status", "operator": "equals", "value": "paid"},
    {"field": "data.total", "operator": "greater_than", "value": 100}]}}"#;

async fn explained(subscription: &str, event: &str, more: &[&str]) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (subscription, event) = (file("subscription.json", subscription), file("event.json", event));
    let arguments = [&["explain", "--subscription", &subscription, &event], more].concat();
    postrider(&arguments, None, &[]).await
}

async fn a_subscription_that_does_not_match_is_explained(_: Context) {
    let event = |event_type: &str, total: &str| {
        format!(r#"{{"type": "{event_type}", "data": {{"status": "paid", "total": {total}}}}}"#)
    };
    let matched = explained(SUBSCRIPTION, &event("order.created", "100.01"), &[]).await;
    assert_eq!((matched.code, matched.stdout.trim()), (0, "matched"), "{matched:?}");

    let failed = explained(SUBSCRIPTION, &event("order.created", "99.50"), &[]).await;
    let said = "not matched: filter/all/1: data.total is 99.50; wanted: greater_than 100";
    assert_eq!((failed.code, failed.stdout.trim()), (3, said), "{failed:?}");

    let failed = explained(SUBSCRIPTION, &event("invoice.paid", "1"), &["--output", "json"]).await;
    let said: Value = serde_json::from_str(&failed.stdout).unwrap();
    let wanted = json!({"matched": false, "outcome": "event_type", "expected": ["order.*"], "found": "invoice.paid"});
    assert_eq!((failed.code, said), (3, wanted), "{}", failed.stderr);
}

async fn what_can_not_be_read_is_named(_: Context) {
    let bad_filter = r#"{"event_types": ["*"], "filter": {"all": [{"field": "data.x", "operator": "like"}]}}"#;
    let bad = explained(bad_filter, "{}", &[]).await;
    assert_eq!(bad.code, 1);
    assert!(bad.one_line().contains("subscription.json: filter/all/0/operator: unknown operator 'like'"), "{bad:?}");
    let bad = explained(SUBSCRIPTION, r#"{"type": "order.created"}"#, &[]).await;
    assert_eq!(bad.code, 1);
    assert!(bad.one_line().contains("event.json: there is no 'data'"), "{bad:?}");
    let missing = postrider(&["explain", "--subscription", "nowhere.json"], None, &[]).await;
    assert!(missing.code == 1 && missing.one_line().contains("nowhere.json"), "{missing:?}");
}
