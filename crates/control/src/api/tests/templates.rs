//! Templates: those that come with Postrider, a tenant's own, and what is made of them.

use poem::http::Method;
use postrider_domain::{ConfigBody, EntityId, endpoint::purpose, template::built_ins};
use serde_json::{Value, json};

use super::fixture::{Fixture, TenantClient};

/// A template with a parameter in its host, its path, a header and its mapping.
fn own() -> Value {
    json!({
        "name": "Ticket desk",
        "parameters": [
            { "name": "host", "description": "The desk's host.", "example": "public.example.com" },
            { "name": "desk", "description": "The desk's name.", "example": "support", "default": "support" },
            {
                "name": "key", "description": "An API key.", "secret": true, "example": "desk-k3y",
                "pattern": "desk-[a-z0-9]+",
            },
            { "name": "queue", "description": "The queue.", "example": "q1" },
        ],
        "url": "https://{{host}}/desks/{{desk}}/tickets?key={{key}}",
        "method": "PUT",
        "auth": { "bearer": { "token": "{{key}}" } },
        "headers": { "X-Desk": "{{desk}}" },
        "signing": { "hmac": { "header": "X-Signature", "encoding": "hex" } },
        "event_types": ["ticket.*"],
        "mapping": { "path": ["$.data.id"], "body": { "queue": { "$parameter": "queue" }, "title": "$.data.title" } },
        "sample": { "event": { "type": "ticket.created", "data": { "id": 7, "title": "It is broken" } } },
    })
}

fn parameters() -> Value {
    json!({ "host": "public.example.com", "key": "desk-s3cret", "queue": "q9" })
}

async fn saved(tenant: &TenantClient<'_>) -> String {
    let made = tenant.post("/v1/templates", &own()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.id()
}

#[tokio::test]
async fn built_in_templates_come_before_a_tenants_own_page_by_page() {
    let api = Fixture::new().await;
    let (acme, other) = (api.tenant("Acme").await, api.tenant("Other").await);
    let first = saved(&acme).await;
    let second = saved(&acme).await;
    let mut listed = Vec::new();
    let mut path = "/v1/templates?limit=5".to_owned();
    loop {
        let page = acme.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let data = page.body["data"].as_array().expect("entries").clone();
        listed.extend(data.iter().map(|entry| entry["id"].as_str().expect("an id").to_owned()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/templates?limit=5&cursor={cursor}");
    }
    let expected = built_ins().iter().map(|built_in| built_in.id.to_owned()).chain([first.clone(), second]);
    assert_eq!(listed, expected.collect::<Vec<_>>());
    assert_eq!(
        other.get("/v1/templates?limit=100").await.body["data"].as_array().map(Vec::len),
        Some(built_ins().len())
    );
    let path = format!("/v1/templates/{first}");
    other.get(&path).await.assert_problem(404, None);
    other.put(&path, &own()).await.assert_problem(404, None);
    other.delete(&path).await.assert_problem(404, None);
    other.post(&format!("{path}/render"), &json!({})).await.assert_problem(404, None);
    other.post(&format!("{path}/endpoints"), &json!({})).await.assert_problem(404, None);
    acme.get("/v1/templates?cursor=bm9uZQ").await.assert_problem(400, Some("cursor"));
}

#[tokio::test]
async fn every_built_in_is_shown_and_rendered_as_its_file_says() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    for built_in in built_ins() {
        let shown = acme.get(&format!("/v1/templates/{}", built_in.id)).await;
        let document = serde_json::to_value(built_in.template.document()).expect("it can be written");
        for (member, value) in document.as_object().expect("an object") {
            assert_eq!(&shown.body[member], value, "{member} of {}", built_in.id);
        }
        assert_eq!((&shown.body["built_in"], &shown.body["created_at"]), (&json!(true), &Value::Null));
        let rendered = acme.post(&format!("/v1/templates/{}/render", built_in.id), &json!({})).await;
        assert_eq!(rendered.status, 200, "{}: {}", built_in.id, rendered.text);
        assert_eq!(rendered.body["body"], document["sample"]["request"]["body"], "{}", built_in.id);
        for parameter in built_in.template.document().parameters.iter().filter(|parameter| parameter.secret) {
            assert!(!rendered.text.contains(&parameter.example), "{}: {}", built_in.id, rendered.text);
        }
    }
    let path = "/v1/templates/slack";
    acme.delete(path).await.assert_problem(403, None);
    acme.put(path, &own()).await.assert_problem(403, None);
}

#[tokio::test]
async fn a_template_of_ones_own_is_saved_replaced_rendered_and_deleted() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/templates/{}", saved(&acme).await);
    let render = json!({ "parameters": parameters(), "event": { "type": "ticket.closed", "data": { "id": "a/b", "title": "x" } } });
    let rendered = acme.post(&format!("{path}/render"), &render).await;
    let expected = json!({
        "method": "PUT",
        "url": "https://public.example.com/desks/support/tickets/a%2Fb?key=********",
        "headers": { "authorization": "Bearer ********", "content-type": "application/json", "x-desk": "support" },
        "body": { "queue": "q9", "title": "x" },
    });
    assert_eq!(rendered.body, expected, "{}", rendered.text);

    let replaced =
        acme.put(&path, &json!({ "name": "Plain", "url": "https://public.example.com", "event_types": ["*"] })).await;
    assert_eq!((replaced.status, &replaced.body["name"]), (200, &json!("Plain")), "{}", replaced.text);
    assert_eq!(acme.get(&path).await.body["parameters"], json!([]));
    acme.post(&format!("{path}/render"), &json!({})).await.assert_problem(422, Some("/event"));
    assert_eq!(acme.delete(&path).await.status, 204);
    acme.get(&path).await.assert_problem(404, None);
    acme.delete(&path).await.assert_problem(404, None);

    saved(&acme).await;
    let tenant = format!("/v1/tenants/{}", acme.id);
    assert_eq!(api.call(Method::DELETE, &tenant, &api.operator_key, None, None).await.status, 204);
}

#[tokio::test]
async fn an_endpoint_made_of_a_template_keeps_its_secrets_sealed() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/templates/{}/endpoints", saved(&acme).await);
    let made = acme.post(&path, &json!({ "parameters": parameters() })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["name"], "Ticket desk");
    assert_eq!(made.body["url"], "https://public.example.com/desks/support/tickets?key=desk-s3cret");
    assert_eq!(made.body["headers"], json!({ "Authorization": "********", "X-Desk": "********" }));
    assert_eq!(made.body["signing"]["hmac"]["header"], "X-Signature");
    let subscription = &made.body["subscriptions"][0];
    assert_eq!(subscription["event_types"], json!(["ticket.*"]));
    assert_eq!(subscription["mapping"]["body"]["queue"], json!({ "$const": "q9" }));
    assert_eq!(subscription["mapping"]["method"], "PUT");

    let (_, endpoint) = api.published_endpoint().await;
    let open = |sealed, purpose| {
        let opened = api.key_ring.open(sealed, &endpoint.tenant, &EntityId::from(&endpoint.id), purpose);
        String::from_utf8(opened.expect("it opens").to_vec()).expect("text")
    };
    assert_eq!(open(&endpoint.settings.headers[0].value, purpose::HEADER), "Bearer desk-s3cret");
    let published = api.outbox().await;
    assert!(!format!("{published:?}").contains("s3cret"));
    let mapped =
        published.iter().any(|(_, _, body)| matches!(body, ConfigBody::Subscription(it) if it.mapping.is_some()));
    assert!(mapped, "the mapping is published");

    let chosen = json!({
        "parameters": parameters(), "name": "Mine", "event_types": ["ticket.closed"], "enabled": false,
        "filter": { "field": "data.urgent", "operator": "equals", "value": true }, "rate_limit": { "per_second": 2 },
    });
    let made = acme.post(&path, &chosen).await;
    assert_eq!((&made.body["name"], &made.body["enabled"]), (&json!("Mine"), &json!(false)), "{}", made.text);
    assert_eq!(made.body["subscriptions"][0]["event_types"], json!(["ticket.closed"]));
    assert!(made.body["subscriptions"][0]["filter"].is_object() && made.body["rate_limit"].is_object());
}

#[tokio::test]
async fn a_value_that_cant_be_used_is_named() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/templates/{}", saved(&acme).await);
    let with = |name: &str, value: Value| {
        let mut parameters = parameters();
        parameters[name] = value;
        parameters.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        json!({ "parameters": parameters })
    };
    let cases = [
        (with("queue", Value::Null), "/parameters/queue", "'queue' is missing: The queue."),
        (with("colour", json!("s3cret")), "/parameters/colour", "it has: host, desk, key, queue"),
        (with("key", json!("s3cret")), "/parameters/key", "has to match 'desk-[a-z0-9]+', as 'desk-k3y' does"),
        (with("host", json!("a/b")), "/parameters/host", "part of the host"),
        (with("host", json!("127.0.0.1")), "/parameters/host", "not public"),
        (with("host", json!("inside.example.com")), "/parameters/host", "not a public address"),
        (with("desk", json!("..")), "/parameters/desk", "leads elsewhere"),
    ];
    for (input, field, words) in cases {
        let answer = acme.post(&format!("{path}/endpoints"), &input).await;
        answer.assert_problem(422, Some(field));
        assert!(answer.text.contains(words) && !answer.text.contains("s3cret"), "{}", answer.text);
    }
    acme.post(&format!("{path}/render"), &json!({ "parameters": {} }))
        .await
        .assert_problem(422, Some("/parameters/host"));
    let event = json!({ "event": { "type": "ticket.created", "data": { "id": 1 } } });
    let unmapped = acme.post(&format!("{path}/render"), &event).await;
    unmapped.assert_problem(422, Some("/event"));
    assert!(unmapped.text.contains("data.title"), "{}", unmapped.text);

    let mut template = own();
    template["parameters"][3]["secret"] = json!(true);
    acme.post("/v1/templates", &template).await.assert_problem(422, Some("/mapping/body/queue"));
    template = own();
    template["auth"] = json!({ "bearer": { "token": "{{nobody}}" } });
    acme.post("/v1/templates", &template).await.assert_problem(422, Some("/auth/bearer/token"));
    template = own();
    template["method"] = json!("DELETE");
    acme.post("/v1/templates", &template).await.assert_problem(422, Some("/method"));
}
