//! What belongs to another tenant does not exist.

use postrider_testkit::Answer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![a_foreign_tenant_gets_404_for_everything, a_deleted_tenant_takes_everything_with_it]
}

fn assert_absent((status, problem): &Answer, what: &str) {
    assert_eq!(*status, StatusCode::NOT_FOUND, "{what}: {problem}");
    assert_eq!(problem["type"], "/problems/not-found", "{what}");
}

async fn a_foreign_tenant_gets_404_for_everything(context: Context) {
    let deployment = Deployment::start(&context, "tenancy").await;
    let (owner, foreign) = (deployment.tenant().await, deployment.tenant().await);
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&owner, &receiver, "/orders", json!({})).await;
    deployment.synced().await;
    deployment.write(&event(&deployment, &owner, "1", "order.created", &json!(1))).await;
    let message = hook.message_id("1");
    owner.delivery(&message, "delivered").await;
    let subscription = owner.list("/v1/subscriptions").await[0]["id"].as_str().unwrap().to_owned();
    let key = owner.create_key(&["deliveries:read"]).await["id"].as_str().unwrap().to_owned();

    let endpoint = format!("/v1/endpoints/{}", hook.id);
    let subscription = format!("/v1/subscriptions/{subscription}");
    let api = &foreign.api;
    assert_absent(&api.get(&endpoint).await.unwrap(), "get endpoint");
    assert_absent(&api.patch(&endpoint, &json!({"enabled": false})).await.unwrap(), "change endpoint");
    assert_absent(&api.delete(&endpoint).await.unwrap(), "delete endpoint");
    assert_absent(&api.get(&subscription).await.unwrap(), "get subscription");
    assert_absent(&api.patch(&subscription, &json!({"filter": null})).await.unwrap(), "change subscription");
    assert_absent(&api.delete(&subscription).await.unwrap(), "delete subscription");
    let subscribe = json!({"endpoint_id": hook.id, "event_types": ["*"]});
    assert_absent(&api.post("/v1/subscriptions", &subscribe).await.unwrap(), "subscribe a foreign endpoint");
    assert_absent(&api.delete(&format!("/v1/api-keys/{key}")).await.unwrap(), "revoke key");
    assert_absent(&api.get(&format!("/v1/deliveries/{message}")).await.unwrap(), "get delivery");

    // Lists have nothing of it, whatever one asks for.
    for path in ["/v1/endpoints", "/v1/subscriptions", "/v1/deliveries"] {
        assert_eq!(foreign.list(path).await, Vec::<Value>::new(), "{path}");
    }
    for query in [format!("endpoint_id={}", hook.id), format!("message_id={message}")] {
        assert_eq!(foreign.list(&format!("/v1/deliveries?{query}")).await, Vec::<Value>::new(), "{query}");
    }
    assert_eq!(foreign.list(&format!("/v1/subscriptions?endpoint_id={}", hook.id)).await, Vec::<Value>::new());
    assert_eq!(foreign.list("/v1/api-keys").await.len(), 1, "its own key only");

    // A tenant's key does not become another's by naming it, and tenants are not its business.
    let named = api.request(Method::GET, "/v1/endpoints").header("Postrider-Tenant", &owner.id).send().await.unwrap();
    assert_eq!(named.status(), StatusCode::FORBIDDEN);
    for path in ["/v1/tenants".to_owned(), format!("/v1/tenants/{}", owner.id)] {
        assert_eq!(api.get(&path).await.unwrap().0, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(owner.api.get(&endpoint).await.unwrap().1["enabled"], true, "nothing was changed");

    // What never existed is answered in the same way.
    let absent = api.get("/v1/endpoints/ep_00000000000000000000000000").await.unwrap();
    let foreign_answer = api.get(&endpoint).await.unwrap();
    assert_eq!((absent.0, &absent.1["type"]), (foreign_answer.0, &foreign_answer.1["type"]));
}

async fn a_deleted_tenant_takes_everything_with_it(context: Context) {
    let deployment = Deployment::start(&context, "tenants").await;
    let (doomed, other) = (deployment.tenant().await, deployment.tenant().await);
    let receiver = deployment.receiver().await;
    let gone = Hook::create(&doomed, &receiver, "/gone", json!({})).await;
    let kept = Hook::create(&other, &receiver, "/kept", json!({})).await;
    deployment.synced().await;

    let operator = deployment.operator();
    let path = format!("/v1/tenants/{}", doomed.id);
    let (status, renamed) = operator.patch(&path, &json!({"name": "Doomed Ltd"})).await.unwrap();
    assert_eq!((status, &renamed["name"]), (StatusCode::OK, &json!("Doomed Ltd")));
    assert_eq!(operator.delete(&path).await.unwrap().0, StatusCode::NO_CONTENT);
    deployment.synced().await;
    deployment.write(&event(&deployment, &doomed, "1", "order.created", &json!(1))).await;
    deployment.write(&event(&deployment, &other, "1", "order.created", &json!(1))).await;
    kept.wait_for(1).await;
    assert_eq!(gone.count(), 0);
    assert_eq!(operator.get(&path).await.unwrap().0, StatusCode::NOT_FOUND);
    assert_eq!(doomed.api.get("/v1/endpoints").await.unwrap().0, StatusCode::UNAUTHORIZED, "its key is gone too");
}
