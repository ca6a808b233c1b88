//! Avro in Confluent's wire format, as single objects and in CloudEvents, with schemas of a real registry.

use std::collections::BTreeMap;

use postrider_testkit::Received;
use serde_json::json;

use super::{create_topic, data, event_type, produce, root};
use crate::support::{Context, Deployment, Hook, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![what_python_writes_as_avro_arrives_as_json_whatever_the_version_of_its_schema]
}

/// What `avro_events.py` sends as `com.acme.shop.ShipmentSent`, as people expect it in JSON.
const SHIPMENT: &str = concat!(
    r#"{"to":{"city":"Zürich","lines":["Gleis 3","8001"]},"return_to":null,"#,
    r#""id":"0f8fad5b-d9cb-469f-a165-70867728950e","#,
    r#""sent":"2026-01-31T12:34:56.789Z","scanned":"2026-01-31T12:34:56.789012Z","local":"2026-01-31T12:34:56.789","#,
    r#""due":"2026-02-02","pickup":"09:05:07.250","carrier":"BIKE","weights":{"gross":1.5},"fee":3.1000,"#,
    r#""label":"AP8=","digest":"YWJjZA==","either":9007199254740993,"#,
    r#""parcels":[{"grams":700,"inside":{"grams":200,"inside":null}}]}"#
);

async fn what_python_writes_as_avro_arrives_as_json_whatever_the_version_of_its_schema(context: Context) {
    let mut deployment = Deployment::prepare(&context, "python-avro", "").await;
    let topic = create_topic(&deployment, "shop").await;
    let registry = context.environment.registry().await.url();
    deployment.settings = deployment.settings.with(&format!(
        "[schema_registry]\nurl = \"{registry}\"\nsubjects = [\"payments\"]\n\
         [[sources]]\nname = \"shop\"\ntopic = \"{topic}\"\nformat = \"auto\""
    ));
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let all = Hook::create(&tenant, &receiver, "/all", json!({})).await;
    // Filters see the numbers and times of Avro as they see JSON's.
    let filter = json!({"all": [
        {"field": "data.total", "operator": "greater_than", "value": 12.29},
        {"field": "data.currency", "operator": "exists", "value": false}]});
    let subscription = json!({"event_types": ["com.acme.shop.OrderPlaced"], "filter": filter});
    let large = Hook::create(&tenant, &receiver, "/large", json!({"subscriptions": [subscription]})).await;
    deployment.synced().await;

    let cloud_event = root().join("schemas/cloudevents/cloud_event.avsc");
    let more = [("REGISTRY", &*registry), ("CLOUD_EVENT_SCHEMA", cloud_event.to_str().unwrap())];
    produce(&context, "avro_events.py", &topic, &tenant.id, &more).await;

    let mut by_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for received in all.wait_for(8).await {
        by_type.entry(event_type(&received)).or_default().push(data(&received));
    }
    for all in by_type.values_mut() {
        all.sort();
    }
    let expected = [
        (
            "com.acme.shop.OrderPlaced",
            vec![
                r#"{"id":1,"total":12.30,"note":null}"#,
                r#"{"id":3,"total":9999999999.99,"note":"old \"service\""}"#,
                r#"{"total":-0.05,"currency":"CHF","id":2}"#,
            ],
        ),
        ("com.acme.shop.PaymentReceived", vec![r#"{"cents":1230}"#]),
        ("com.acme.shop.ShipmentSent", vec![SHIPMENT]),
        ("invoice.sent", vec![r#"{"number": "R-18"}"#, r#"{"number":"R-17"}"#, r#"{"number":"R-19"}"#]),
    ];
    let expected = expected.map(|(name, all)| (name.to_owned(), all.into_iter().map(str::to_owned).collect()));
    assert_eq!(by_type, BTreeMap::from(expected));

    let mut totals: Vec<String> = large.wait_for(2).await.iter().map(data).collect();
    totals.sort();
    assert_eq!(totals.len(), 2, "{totals:?}");
    assert!(totals[0].contains(r#""id":1"#) && totals[1].contains(r#""id":3"#), "{totals:?}");
    let ids: Vec<String> = all.received().iter().map(Received::webhook_id).map(str::to_owned).collect();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "each is an event of its own: {ids:?}");
}
