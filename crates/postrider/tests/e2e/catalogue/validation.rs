//! Events whose data does not fit their type's schema.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![data_that_does_not_fit_is_rejected_reported_or_delivered_as_its_type_says]
}

async fn data_that_does_not_fit_is_rejected_reported_or_delivered_as_its_type_says(context: Context) {
    // One partition: what is good comes after what is bad.
    let deployment = Deployment::with(&context, "schemas", "[topics]\npartitions = 1").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;

    let schema = json!({
        "type": "object",
        "required": ["lines"],
        "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}},
        "$defs": {"line": {"type": "object", "properties": {"quantity": {"type": "integer", "minimum": 1}}}},
    });
    let operator = deployment.operator();
    for mode in ["reject", "report", "off"] {
        let event_type = json!({"name": format!("order.{mode}"), "schema": schema, "validation": mode});
        let (status, body) = operator.post("/v1/event-types", &event_type).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
    // A catalogue that ships, imported beside a running process, rejecting from now on.
    let config = deployment.settings.to_text();
    let imported = postrider(&["event-types", "import", "--catalogue", "helpdesk-crm"], Some(&config), &[]).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    let (status, ticket) =
        operator.patch("/v1/event-types/ticket.created", &json!({"validation": "reject"})).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{ticket}");
    deployment.synced().await;

    let bad = json!({"lines": [{"quantity": 2}, {"quantity": 0}]});
    let mut nameless: Value = ticket["sample"].clone();
    nameless["requester"].as_object_mut().unwrap().remove("name");
    for (id, name, data) in [
        ("1", "order.reject", &bad),
        ("2", "order.report", &bad),
        ("3", "order.off", &bad),
        ("4", "order.unheard-of", &bad),
        ("5", "ticket.created", &nameless),
        ("6", "ticket.created", &ticket["sample"]),
    ] {
        deployment.write(&event(&deployment, &tenant, id, name, data)).await;
    }
    // Over HTTP, what would be rejected is refused at once.
    let (status, problem) =
        tenant.api.post("/v1/events", &json!({"type": "ticket.created", "data": nameless})).await.unwrap();
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/data/requester")), "{problem}");
    let batch = json!({"events": [{"type": "a", "data": 1}, {"type": "order.reject", "data": bad}]});
    let (status, problem) = tenant.api.post("/v1/events/batch", &batch).await.unwrap();
    let field = json!("/events/1/data/lines/1/quantity");
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &field), "{problem}");
    hook.wait_for(4).await;
    let delivered = hook.data();
    let count = |data: &Value| delivered.iter().filter(|delivered| *delivered == data).count();
    assert_eq!((count(&bad), count(&ticket["sample"]), delivered.len()), (3, 1, 4), "{delivered:?}");

    let rejected = deployment.read(&deployment.topics.rejected()).wait_for(2, LIMIT, |_| true).await;
    assert_eq!(rejected.len(), 2);
    let header = |index: usize, name: &str| rejected[index].headers.get_str(name).unwrap_or_default().to_owned();
    for (index, parts) in [
        (0, ["'order.reject'", "at '/lines/1/quantity'", "/quantity/minimum'"]),
        (1, ["'ticket.created'", "at '/requester'", "/requester/required'"]),
    ] {
        assert_eq!(header(index, "pr-reason"), "schema");
        let message = header(index, "pr-message");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    // order.reject, order.report and ticket.created: `off` does not look.
    assert_eq!(deployment.metric("postrider_schema_violations_total").await, Some(3.0));
    assert_eq!(deployment.metric("postrider_rejected_total").await, Some(2.0));
}
