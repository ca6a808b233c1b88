//! An endpoint made of a template, seen from the receiver.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, LIMIT, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![an_endpoint_made_of_a_template_is_sent_what_the_template_says]
}

/// A template of the tenant's own whose URL, headers and body take parameters.
fn ticket_desk() -> Value {
    json!({
        "name": "Ticket desk",
        "parameters": [
            {"name": "host", "description": "The desk's host and port.", "example": "desk.example.com"},
            {"name": "desk", "description": "The desk's name.", "example": "support"},
            {"name": "key", "description": "An API key.", "secret": true, "example": "k"},
            {"name": "queue", "description": "The queue.", "example": "q1", "default": "inbox"},
        ],
        "url": "https://{{host}}/desks/{{desk}}/tickets?key={{key}}",
        "method": "PUT",
        "auth": {"basic": {"username": "postrider", "password": "{{key}}"}},
        "headers": {"X-Desk": "desk {{desk}}"},
        "event_types": ["ticket.*"],
        "mapping": {
            "path": ["$.data.id"],
            "body": {
                "queue": {"$parameter": "queue"},
                "title": {"$text": "{data.title} ({type})"},
                "labels": {"$each": "data.labels", "$do": {"name": {"$path": "item", "$format": "uppercase"}}}
            }
        }
    })
}

async fn an_endpoint_made_of_a_template_is_sent_what_the_template_says(context: Context) {
    let deployment = Deployment::start(&context, "templates").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let (status, template) = tenant.api.post("/v1/templates", &ticket_desk()).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{template}");
    let path = format!("/v1/templates/{}/endpoints", template["id"].as_str().unwrap());

    let base = receiver.url("");
    let host = base.split_once("://").unwrap().1;
    let (status, problem) =
        tenant.api.post(&path, &json!({"parameters": {"host": host, "key": "s3cret"}})).await.unwrap();
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/parameters/desk")));
    assert_eq!(problem["detail"], "the parameter 'desk' is missing: The desk's name.");

    let parameters = json!({"host": host, "desk": "a/b & c", "key": "s3c?ret&"});
    let (status, made) = tenant.api.post(&path, &json!({"parameters": parameters})).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let sent_to = "/desks/a%2Fb%20%26%20c/tickets/t%2F7";
    receiver.verify(sent_to, made["secret"].as_str().unwrap()).unwrap();
    deployment.synced().await;

    let data = json!({"id": "t/7", "title": "It is broken", "labels": ["new", "vip"]});
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &data)).await;
    deployment.write(&event(&deployment, &tenant, "2", "ticket.created", &data)).await;
    let received = receiver.wait_for(sent_to, 1, LIMIT).await;
    assert_eq!((received.len(), receiver.bad_signatures(sent_to)), (1, 0));
    let request = &received[0];
    assert_eq!(request.method, Method::PUT);
    assert_eq!(request.uri.query(), Some("key=s3c%3Fret%26"));
    assert_eq!(request.header("authorization"), "Basic cG9zdHJpZGVyOnMzYz9yZXQm");
    assert_eq!((request.header("x-desk"), request.header("content-type")), ("desk a/b & c", "application/json"));
    let expected = json!({
        "queue": "inbox",
        "title": "It is broken (ticket.created)",
        "labels": [{"name": "NEW"}, {"name": "VIP"}],
    });
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
}
