//! The catalogue of event types.

use poem::http::Method;
use postrider_domain::{ConfigBody, event_type::ValidationMode};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture};

const PATH: &str = "/v1/event-types";

async fn call(api: &Fixture, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map(ToString::to_string);
    api.call(method, path, &api.operator_key, None, body.as_deref()).await
}

async fn get(api: &Fixture, path: &str) -> Answer {
    call(api, Method::GET, path, None).await
}

fn order() -> Value {
    json!({
        "name": "order.created",
        "description": "An order was placed.",
        "schema": {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}},
        "sample": {"total": 12.50},
        "validation": "reject",
    })
}

#[tokio::test]
async fn an_event_type_is_made_changed_archived_and_deleted_each_told_to_the_data_plane() {
    let api = Fixture::new().await;
    let made = call(&api, Method::POST, PATH, Some(&order())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!((&made.body["group"], &made.body["validation"]), (&json!("order"), &json!("reject")));
    call(&api, Method::POST, PATH, Some(&order())).await.assert_problem(422, Some("/name"));

    for path in [format!("{PATH}/{}", made.id()), format!("{PATH}/order.created")] {
        let found = get(&api, &path).await;
        assert_eq!((found.status, &found.body["sample"]), (200, &json!({"total": 12.50})), "{}", found.text);
    }
    let path = format!("{PATH}/order.created");
    let change = json!({"group": "shop", "sample": null, "validation": "off", "archived": true});
    let patched = call(&api, Method::PATCH, &path, Some(&change)).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_eq!((&patched.body["group"], &patched.body["archived"]), (&json!("shop"), &json!(true)));
    assert_eq!((&patched.body["sample"], &patched.body["description"]), (&Value::Null, &made.body["description"]));
    // What is left must go together.
    let bad = json!({"sample": {"total": "12"}});
    call(&api, Method::PATCH, &path, Some(&bad)).await.assert_problem(422, Some("/sample/total"));

    assert_eq!(call(&api, Method::DELETE, &path, None).await.status, 204);
    get(&api, &path).await.assert_problem(404, None);
    call(&api, Method::DELETE, &path, None).await.assert_problem(404, None);
    get(&api, &format!("{PATH}/x%00y")).await.assert_problem(404, None);

    let told = api.outbox().await;
    let [(id, 1, ConfigBody::EventType(first)), (_, 2, ConfigBody::EventType(second)), (_, 3, ConfigBody::Deleted(_))] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((id, first.name.as_str(), first.validation), (&made.id(), "order.created", ValidationMode::Reject));
    assert_eq!(first.schema.as_ref().unwrap().value().unwrap(), order()["schema"]);
    assert!(second.archived && second.validation == ValidationMode::Off);
}

#[tokio::test]
async fn what_cant_be_taken_is_named_by_its_pointer() {
    let api = Fixture::new().await;
    let table = [
        (json!({"name": "order created"}), "/name"),
        (json!({"name": "a", "group": "x\u{0}"}), "/group"),
        (json!({"name": "a", "colour": 1}), "/colour"),
        (json!({"name": "a", "validation": "warn"}), "/validation"),
        (json!({"name": "a", "schema": {"type": "text"}}), "/schema/type"),
        (
            json!({"name": "a", "schema": {"properties": {"x": {"$ref": "https://example.com/x"}}}}),
            "/schema/properties/x/$ref",
        ),
        (json!({"name": "a", "schema": {"properties": {"x": {"pattern": "(?=x)"}}}}), "/schema/properties/x/pattern"),
        (json!({"name": "a", "schema": {"type": "string"}, "sample": 1}), "/sample"),
    ];
    for (body, field) in table {
        call(&api, Method::POST, PATH, Some(&body)).await.assert_problem(422, Some(field));
    }
    let import = format!("{PATH}/import");
    let catalogue = json!({"event_types": [{"name": "a"}, {"name": "b", "schema": {"minimum": "1"}}]});
    call(&api, Method::POST, &import, Some(&catalogue))
        .await
        .assert_problem(422, Some("/event_types/1/schema/minimum"));
    call(&api, Method::POST, &import, Some(&json!({"openapi": "3.0.0"}))).await.assert_problem(422, Some("/openapi"));
    get(&api, &format!("{PATH}?group=%00")).await.assert_problem(400, Some("group"));
    get(&api, &format!("{PATH}?cursor=AA")).await.assert_problem(400, Some("cursor"));
    assert!(api.outbox().await.is_empty());
}

#[tokio::test]
async fn the_list_is_walked_in_the_order_of_names_and_filtered() {
    let api = Fixture::new().await;
    let types = ["b.one", "a.two", "B.three", "a.one", "a/four"];
    let catalogue: Vec<Value> =
        types.iter().map(|name| json!({"name": name, "archived": name.ends_with("one")})).collect();
    let import = call(&api, Method::POST, &format!("{PATH}/import"), Some(&json!({"event_types": catalogue}))).await;
    assert_eq!(import.status, 200, "{}", import.text);
    let names = async |query: &str| {
        let (mut names, mut path) = (Vec::new(), format!("{PATH}?limit=2&{query}"));
        loop {
            let page = get(&api, &path).await;
            assert_eq!(page.status, 200, "{}", page.text);
            let data = page.body["data"].as_array().unwrap();
            names.extend(data.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()));
            let Some(cursor) = page.body["next_cursor"].as_str() else { return names };
            path = format!("{PATH}?limit=2&{query}&cursor={cursor}");
        }
    };
    assert_eq!(names("").await, ["B.three", "a.one", "a.two", "a/four", "b.one"]);
    assert_eq!(names("group=a").await, ["a.one", "a.two", "a/four"]);
    assert_eq!(names("archived=true").await, ["a.one", "b.one"]);
    assert_eq!(names("group=a&archived=false").await, ["a.two", "a/four"]);
    assert_eq!(get(&api, &format!("{PATH}/a%2Ffour")).await.body["name"], "a/four");
}

#[tokio::test]
async fn an_import_says_what_it_changed_and_an_export_brings_it_back() {
    let api = Fixture::new().await;
    let import = format!("{PATH}/import");
    let catalogue = json!({"event_types": [order(), {"name": "order.paid"}, {"name": "user.created"}]});
    let dry = call(&api, Method::POST, &format!("{import}?dry_run=true"), Some(&catalogue)).await;
    assert_eq!((&dry.body["dry_run"], dry.body["created"].as_array().unwrap().len()), (&json!(true), 3));
    assert!(api.outbox().await.is_empty(), "a dry run changes nothing");

    let first = call(&api, Method::POST, &import, Some(&catalogue)).await;
    assert_eq!(first.body["created"], json!(["order.created", "order.paid", "user.created"]), "{}", first.text);
    let mut changed = catalogue.clone();
    changed["event_types"][1]["description"] = json!("Paid.");
    changed["event_types"][2] = json!({"name": "user.deleted"});
    let second = call(&api, Method::POST, &import, Some(&changed)).await;
    let expected = json!({
        "dry_run": false,
        "created": ["user.deleted"],
        "changed": [{"name": "order.paid", "fields": ["description"]}],
        "unchanged": ["order.created"],
    });
    assert_eq!(second.body, expected);
    assert_eq!(api.outbox().await.len(), 5);

    let exported = get(&api, &format!("{PATH}/export")).await;
    assert_eq!(exported.body["event_types"].as_array().unwrap().len(), 4, "{}", exported.text);
    let again = call(&api, Method::POST, &import, Some(&exported.body)).await;
    assert_eq!(again.body["unchanged"].as_array().unwrap().len(), 4, "{}", again.text);
}

#[tokio::test]
async fn what_an_import_does_not_say_of_an_operators_choices_stays() {
    let api = Fixture::new().await;
    let import = format!("{PATH}/import");
    let document = json!({"event_types": [{"name": "order.paid", "description": "Paid."}]});
    assert_eq!(call(&api, Method::POST, &import, Some(&document)).await.status, 200);
    let path = format!("{PATH}/order.paid");
    let choices = json!({"group": "money", "validation": "reject", "archived": true});
    assert_eq!(call(&api, Method::PATCH, &path, Some(&choices)).await.status, 200);
    let exported = get(&api, &format!("{PATH}/export")).await.body;

    let again = call(&api, Method::POST, &import, Some(&document)).await;
    assert_eq!(again.body["unchanged"], json!(["order.paid"]), "{}", again.text);
    let webhook = json!({"post": {"summary": "Paid.", "deprecated": false, "requestBody": {"content": {
        "application/json": {"schema": {"type": "object"}}}}}});
    let openapi = json!({"openapi": "3.1.0", "webhooks": {"order.paid": webhook}});
    let changed = call(&api, Method::POST, &import, Some(&openapi)).await;
    let expected = json!([{"name": "order.paid", "fields": ["schema", "archived"]}]);
    assert_eq!(changed.body["changed"], expected, "{}", changed.text);
    let now = get(&api, &path).await.body;
    assert_eq!((&now["group"], &now["validation"]), (&json!("money"), &json!("reject")));

    // An export says everything.
    call(&api, Method::POST, &import, Some(&exported)).await;
    assert_eq!(get(&api, &format!("{PATH}/export")).await.body, exported);
}

#[tokio::test]
async fn tenants_keys_read_the_catalogue_and_change_nothing() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    assert_eq!(call(&api, Method::POST, PATH, Some(&order())).await.status, 201);
    for path in [PATH, "/v1/event-types/order.created", "/v1/event-types/export"] {
        assert_eq!(acme.get(path).await.status, 200, "{path}");
    }
    acme.post(PATH, &json!({"name": "a"})).await.assert_problem(403, None);
    acme.post("/v1/event-types/import", &json!({"event_types": []})).await.assert_problem(403, None);
    acme.patch("/v1/event-types/order.created", &json!({"archived": true})).await.assert_problem(403, None);
    acme.delete("/v1/event-types/order.created").await.assert_problem(403, None);
    let narrow = acme.post("/v1/api-keys", &json!({"name": "x", "scopes": ["endpoints:read"]})).await;
    let key = narrow.body["key"].as_str().unwrap();
    api.call(Method::GET, PATH, key, None, None).await.assert_problem(403, None);
    let writer = json!({"name": "x", "scopes": ["event-types:write"]});
    acme.post("/v1/api-keys", &writer).await.assert_problem(422, Some("/scopes/0"));
}
