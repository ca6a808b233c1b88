//! What a mapping makes of an event, seen from the receiver, and what becomes of one that can't be mapped.

use postrider_domain::{ErrorClass, delivery_event::DeadLetter};
use postrider_kafka::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    replaying::replay,
    support::{Context, Deployment, Hook, LIMIT, Tenant, Test, event, record, tests},
};

pub fn tests() -> Vec<Test> {
    tests![
        a_mapping_decides_body_headers_path_and_method,
        an_event_that_can_not_be_mapped_is_dead_lettered_with_its_place_and_redriven_by_the_mapping_of_later,
    ]
}

/// Changes an endpoint's one subscription.
async fn patch_subscription(tenant: &Tenant, hook: &Hook<'_>, patch: &Value) -> Value {
    let subscriptions = tenant.list(&format!("/v1/subscriptions?endpoint_id={}", hook.id)).await;
    let path = format!("/v1/subscriptions/{}", subscriptions[0]["id"].as_str().unwrap());
    let (status, body) = tenant.api.patch(&path, patch).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn a_mapping_decides_body_headers_path_and_method(context: Context) {
    let deployment = Deployment::start(&context, "mapping").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let mapping = json!({
        "method": "PUT",
        "path": ["contacts", {"$path": "data.email", "$format": "lowercase"}],
        "headers": {"X-Order": "$.data.id", "X-Team": "red"},
        "body": {
            "hash": {"$path": "data.email", "$format": "sha256"},
            "total": "$.data.total",
            "at": {"$path": "data.at", "$format": "unix_seconds"},
            "lines": {"$each": "data.items", "$do": {"sku": "$.item.sku", "qty": {"$path": "item.qty", "$default": 1}}},
            "note": {"$path": "data.note", "$optional": true},
        }
    });
    // The path that the mapping comes to is where the signatures are verified.
    let more = json!({
        "subscriptions": [{"event_types": ["*"], "mapping": mapping}], "headers": {"X-Team": "blue"},
    });
    let mapped = "/crm/contacts/ann%40example.com";
    let hook = Hook::create_at(&tenant, &receiver, mapped, receiver.url("/crm/?key=1"), more).await;
    deployment.synced().await;

    let data = r#"{"id":7,"total":1.10,"email":"Ann@Example.com","at":"2026-01-31T12:00:00Z","items":[{"sku":"a","qty":2},{"sku":"b"}]}"#;
    let value = format!(r#"{{"id":"1","type":"order.created","tenant":"{}","data":{data}}}"#, tenant.id);
    deployment.write(&record(&deployment.topics.events(), "1", value, &[])).await;
    let received = hook.wait_for(1).await.remove(0);
    let expected = r#"{"at":1769860800,"hash":"71d4f55f72fa128dfb468a1a3901507c804b74316488744d769d7f4b16696476","lines":[{"qty":2,"sku":"a"},{"qty":1,"sku":"b"}],"total":1.10}"#;
    assert_eq!(std::str::from_utf8(&received.body).unwrap(), expected);
    assert_eq!((received.method.clone(), received.header("content-type")), (Method::PUT, "application/json"));
    assert_eq!((received.header("x-order"), received.header("x-team")), ("7", "blue"));

    // Without its mapping the subscription sends what its endpoint sends.
    let patched = patch_subscription(&tenant, &hook, &json!({"mapping": null})).await;
    assert_eq!(patched["mapping"], Value::Null);
    receiver.verify("/crm/", &hook.secret).unwrap();
    deployment.synced().await;
    deployment.write(&event(&deployment, &tenant, "2", "order.created", &json!({"id": 8}))).await;
    let plain = receiver.wait_for("/crm/", 1, LIMIT).await.remove(0);
    let body: Value = serde_json::from_slice(&plain.body).unwrap();
    assert_eq!((plain.method, &body["type"]), (Method::POST, &json!("order.created")));
    assert_eq!((receiver.bad_signatures("/crm/"), hook.count()), (0, 1));
}

async fn an_event_that_can_not_be_mapped_is_dead_lettered_with_its_place_and_redriven_by_the_mapping_of_later(
    context: Context,
) {
    let deployment = Deployment::start(&context, "unmapped").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let subscription = json!({"event_types": ["*"], "mapping": {"body": {"who": {"name": "$.data.customer.name"}}}});
    let hook = Hook::create(&tenant, &receiver, "/mapped", json!({"subscriptions": [subscription]})).await;
    let other = Hook::create(&tenant, &receiver, "/plain", json!({})).await;
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!({"customer": {}}))).await;
    other.wait_for(1).await;
    let run = tenant.delivery(&hook.message_id("1"), "failed").await;
    assert_eq!((&run["delivery"]["last_error"], &run["attempts"]), (&json!("mapping_failed"), &json!([])));
    let why = "mapping/body/who/name: 'data.customer.name' is missing";
    let message = run["delivery"]["last_error_message"].as_str().unwrap();
    assert!(message.starts_with(why), "{message}");
    let records = deployment.read(&deployment.topics.dlq()).wait_for(1, LIMIT, |_| true).await;
    let letter: DeadLetter = Codec::new().decode(records[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((letter.error, letter.attempts), (ErrorClass::MappingFailed, 0));
    assert!(letter.error_message.unwrap().starts_with(why));
    assert_eq!(hook.count(), 0, "nothing of it was sent");

    // As long as the mapping is what it was, the letter stays what it is.
    let redrive = ["dead-letters", "--error", "mapping_failed"];
    let (code, job) = replay(&deployment, &redrive).await;
    let told = &job["progress"];
    assert_eq!((code, &told["sent"], &told["unavailable"]), (0, &json!(0), &json!(1)), "{told:#}");
    let mapping = json!({"body": {"who": {"$path": "data.customer.name", "$default": "somebody"}}});
    patch_subscription(&tenant, &hook, &json!({"mapping": mapping})).await;
    deployment.synced().await;
    let (code, job) = replay(&deployment, &redrive).await;
    let told = &job["progress"];
    assert_eq!((code, &told["sent"], &told["unavailable"]), (0, &json!(1), &json!(0)), "{told:#}");
    let received = hook.wait_for(1).await.remove(0);
    assert_eq!(&*received.body, br#"{"who":"somebody"}"#);
    assert_eq!(received.webhook_id(), hook.message_id("1"));
}
