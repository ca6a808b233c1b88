//! `postrider event-types`, and the catalogue that it makes as the API shows it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![a_catalogue_is_imported_listed_and_exported_by_command_and_read_by_tenants]
}

async fn a_catalogue_is_imported_listed_and_exported_by_command_and_read_by_tenants(context: Context) {
    let deployment = Deployment::start(&context, "catalogue").await;
    let tenant = deployment.tenant().await;
    let config = deployment.settings.to_text();
    let run = async |arguments: &[&str]| {
        let finished = postrider(&[&["event-types"], arguments].concat(), Some(&config), &[]).await;
        assert_eq!(finished.code, 0, "{arguments:?}: {finished:?}");
        finished.stdout
    };
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();

    // A catalogue that ships.
    let dry = run(&["import", "--catalogue", "helpdesk-crm", "--dry-run"]).await;
    assert!(last(&dry).starts_with("18 created, 0 changed, 0 unchanged") && last(&dry).contains("--dry-run"), "{dry}");
    assert_eq!(run(&["list"]).await, "");
    let imported = run(&["import", "--catalogue", "helpdesk-crm"]).await;
    assert!(imported.lines().any(|line| line == "created    ticket.reopened"), "{imported}");
    assert_eq!(last(&imported), "18 created, 0 changed, 0 unchanged");
    assert_eq!(last(&run(&["import", "--catalogue", "helpdesk-crm"]).await), "0 created, 0 changed, 18 unchanged");
    assert_eq!(run(&["list", "--group", "ticket"]).await.lines().count(), 8);

    // The webhooks of an OpenAPI document.
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let webhook = json!({"post": {"tags": ["ticket"], "summary": "A ticket was opened.", "requestBody": {"content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Ticket"}, "example": {"id": "t-1"}}}}}});
    let openapi = json!({
        "openapi": "3.1.0",
        "info": {"title": "Shop", "version": "1"},
        "webhooks": {"ticket.created": webhook, "ticket.escalated": webhook},
        "components": {"schemas": {"Ticket": {"type": "object", "required": ["id"]}}},
    });
    let imported = run(&["import", &write("openapi.json", &openapi.to_string())]).await;
    assert_eq!(last(&imported), "1 created, 1 changed, 0 unchanged");
    let changed = "changed    ticket.created: schema, sample";
    assert!(imported.lines().any(|line| line == changed), "{imported}");

    // What the document does not say stays as the operator wants it.
    let set = run(&["set", "ticket.created", "--validation", "reject"]).await;
    assert!(set.contains("ticket.created") && set.contains("reject"), "{set}");
    let again = run(&["import", &write("openapi.json", &openapi.to_string())]).await;
    assert_eq!(last(&again), "0 created, 0 changed, 2 unchanged");
    assert!(run(&["list"]).await.lines().any(|line| line.starts_with("ticket.created ") && line.contains("reject")));

    // And back.
    let exported = run(&["export"]).await;
    let again = run(&["import", &write("catalogue.json", &exported)]).await;
    assert_eq!(last(&again), "0 created, 0 changed, 19 unchanged");

    // What is wrong is named by its place, and nothing is taken.
    let mut bad = openapi;
    bad["components"]["schemas"]["Ticket"] = json!({"$ref": "https://example.com/ticket.json"});
    let file = write("bad.json", &bad.to_string());
    let refused = postrider(&["event-types", "import", &file], Some(&config), &[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.one_line().contains("/components/schemas/Ticket/$ref"), "{refused:?}");

    assert!(run(&["delete", "sla.breached"]).await.contains("sla.breached"));
    let gone = postrider(&["event-types", "delete", "sla.breached"], Some(&config), &[]).await;
    assert!(gone.code == 1 && gone.one_line().contains("'sla.breached'"), "{gone:?}");
    assert_eq!(last(&run(&["import", "--catalogue", "messaging-crm"]).await), "18 created, 0 changed, 5 unchanged");

    // A tenant reads it and changes nothing.
    let all = tenant.list("/v1/event-types").await;
    assert_eq!(all.len(), 19 - 1 + 18);
    assert!(all.is_sorted_by_key(|entry| entry["name"].as_str()), "{all:?}");
    assert_eq!(tenant.list("/v1/event-types?group=ticket&archived=false").await.len(), 9);
    let (status, created) = tenant.api.get("/v1/event-types/ticket.created").await.unwrap();
    assert_eq!((status, &created["sample"]), (StatusCode::OK, &json!({"id": "t-1"})), "{created}");
    assert_eq!(created["schema"]["$ref"], "#/$defs/Ticket");
    let (status, document) = tenant.api.get("/v1/event-types/export").await.unwrap();
    let exported = run(&["export"]).await;
    assert_eq!((status, document), (StatusCode::OK, serde_json::from_str::<Value>(&exported).unwrap()));
    for (status, problem) in [
        tenant.api.post("/v1/event-types", &json!({"name": "a"})).await.unwrap(),
        tenant.api.patch("/v1/event-types/ticket.created", &json!({"archived": true})).await.unwrap(),
        tenant.api.delete("/v1/event-types/ticket.created").await.unwrap(),
        tenant.api.post("/v1/event-types/import", &json!({"event_types": []})).await.unwrap(),
    ] {
        assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("/problems/forbidden")), "{problem}");
    }
}
