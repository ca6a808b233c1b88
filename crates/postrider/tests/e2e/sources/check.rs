//! `postrider sources check`.

use std::time::Duration;

use postrider_kafka::Outgoing;
use serde_json::{Value, json};

use super::create_topic;
use crate::support::{Context, Deployment, Test, postrider, record, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_check_shows_each_kind_of_record_and_its_reason,
        a_check_reads_the_oldest_and_the_newest_and_commits_nothing,
        a_check_of_what_is_not_there_says_so,
        a_check_holds_events_against_the_schemas_of_their_types,
    ]
}

const TENANT: &str = "ten_01hzzzzzzzzzzzzzzzzzzzzzzz";

/// A deployment without a process, with one source and its topic.
async fn deployment(context: &Context, name: &str, source: &str) -> (Deployment, String) {
    let mut deployment = Deployment::prepare(context, name, "").await;
    let topic = format!("{}.shop.orders", deployment.topics.prefix());
    create_topic(&deployment, &topic, 2).await;
    deployment.settings =
        deployment.settings.with(&format!("[[sources]]\nname = \"shop\"\ntopic = \"{topic}\"\n{source}"));
    (deployment, topic)
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

async fn a_check_shows_each_kind_of_record_and_its_reason(context: Context) {
    let fields = "fields.time = { pointer = \"/at\" }\nfields.subject = { key = true }\n";
    let (deployment, topic) = deployment(&context, "check", fields).await;
    let good =
        format!(r#"{{"id":"o-1","type":"order.created","tenant":"{TENANT}","at":1700000000,"data":{{ "n":1 }}}}"#);
    deployment.write(&record(&topic, "customer 7", good, &[])).await;
    deployment.write(&Outgoing { value: None, ..record(&topic, "customer 7", "", &[]) }).await;
    let event = |id: &str, more: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/","type":"order.paid","tenant":"{TENANT}"{more}}}"#)
    };
    let batch = format!("[{},{}]", event("b-1", r#","data":[1]"#), event("b-2", r#","datacontenttype":7"#));
    deployment.write(&record(&topic, "k", batch, &[])).await;
    let bad = [
        ("undecodable", "not JSON at all".to_owned(), "not an event in JSON"),
        ("undecodable", format!(r#"{{"type":"a","tenant":"{TENANT}"}}"#), "fields.payload"),
        ("undecodable", format!(r#"{{"type":"a","tenant":"{TENANT}","data":1,"at":"soon"}}"#), "RFC 3339"),
        ("event_type", format!(r#"{{"tenant":"{TENANT}","data":1}}"#), "type"),
        ("tenant", r#"{"type":"a","data":1}"#.to_owned(), "names no tenant"),
        ("too_large", format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(1 << 20)), "bytes"),
        ("undecodable", "\u{0}\u{0}\u{0}\u{0}\u{1}x".to_owned(), "schema_registry"),
    ];
    for (_, value, _) in &bad {
        deployment.write(&record(&topic, "k", value.clone(), &[])).await;
    }
    let config = deployment.settings.to_text();

    let found =
        postrider(&["sources", "check", "--source", "shop", "--records", "30", "--json"], Some(&config), &[]).await;
    assert_eq!(found.code, 1, "{found:?}");
    let found = lines(&found.stdout);
    assert_eq!(found.len(), 1 + 1 + 2 + bad.len(), "{found:#?}");
    let event = found.iter().find(|line| line["id"] == json!("o-1")).unwrap();
    let expected = json!({
        "source": "shop", "topic": topic, "partition": event["partition"], "offset": 0, "result": "event",
        "type": "order.created", "id": "o-1", "tenant": TENANT, "time": "2023-11-14T22:13:20.000Z",
        "subject": "customer 7", "ordering_key": "customer 7", "content_type": "application/json", "data_bytes": 9,
        "previous_bytes": null, "violation": null,
    });
    assert_eq!(*event, expected);
    assert_eq!(found.iter().filter(|line| line["result"] == json!("empty")).count(), 1);
    assert!(found.iter().any(|line| line["id"] == json!("b-1") && line["type"] == json!("order.paid")));
    let rejected: Vec<&Value> = found.iter().filter(|line| line["result"] == json!("rejected")).collect();
    assert_eq!(rejected.len(), bad.len() + 1);
    let is_there = |reason: &str, part: &str| {
        let fits = |line: &&Value| line["reason"] == json!(reason) && line["message"].as_str().unwrap().contains(part);
        assert!(rejected.iter().any(fits), "{reason} {part}: {rejected:#?}");
    };
    for (reason, _, part) in &bad {
        is_there(reason, part);
    }
    is_there("undecodable", "event 2 of 2: 'datacontenttype' is not text");

    let table = postrider(&["sources", "check", "--source", "shop", "--records", "30"], Some(&config), &[]).await;
    assert_eq!(table.code, 1);
    assert!(table.one_line().contains("8 things would not be understood"), "{table:?}");
    for part in ["source shop", "ordering key", "order.created", "customer 7", "9 bytes", "(empty", "REJECTED (tenant)"]
    {
        assert!(table.stdout.contains(part), "{part}: {}", table.stdout);
    }
    assert!(table.stdout.contains("would be rejected: tenant: the record names no tenant"), "{}", table.stdout);
    assert!(table.stdout.contains("2 understood, 1 empty, 8 rejected, 0 waiting"), "{}", table.stdout);
}

async fn a_check_reads_the_oldest_and_the_newest_and_commits_nothing(context: Context) {
    let source = format!("tenant = \"{TENANT}\"\n");
    let (deployment, topic) = deployment(&context, "sample", &source).await;
    for number in 0..40 {
        let value = format!(r#"{{"id":"{number}","type":"order.created","data":{number}}}"#);
        deployment.write(&record(&topic, &number.to_string(), value, &[])).await;
        // Of two partitions' records in one millisecond nobody can say which is the newer one.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let config = deployment.settings.to_text();
    let mut first = None;
    // Twice: where it reads does not depend on what was read before.
    for _ in 0..2 {
        let found =
            postrider(&["sources", "check", "--source", "shop", "--records", "6", "--json"], Some(&config), &[]).await;
        assert_eq!((found.code, found.stderr.as_str()), (0, ""));
        let ids: Vec<String> = lines(&found.stdout).iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, ["0", "1", "2", "37", "38", "39"]);
        assert_eq!(*first.get_or_insert_with(|| ids.clone()), ids);
    }
}

async fn a_check_of_what_is_not_there_says_so(context: Context) {
    let mut deployment = Deployment::prepare(&context, "missing", "").await;
    let prefix = deployment.topics.prefix().to_owned();
    deployment.settings = deployment.settings.with(&format!(
        "[[sources]]\nname = \"shop\"\ntopic = \"{prefix}.none\"\n[[sources]]\nname = \"many\"\ntopic_pattern = '^{prefix}\\.no'\n"
    ));
    let config = deployment.settings.to_text();
    let all = postrider(&["sources", "check"], Some(&config), &[]).await;
    assert_eq!(all.code, 1, "{all:?}");
    assert!(all.stdout.contains(&format!("there is no topic '{prefix}.none'")), "{}", all.stdout);
    assert!(all.stdout.contains("there is no topic whose name matches '^"), "{}", all.stdout);
    let unknown = postrider(&["sources", "check", "--source", "shpo"], Some(&config), &[]).await;
    assert_eq!(unknown.code, 1);
    assert!(unknown.one_line().contains("no source 'shpo' in the configuration; there are: events, shop, many"));
    let nobody = [("POSTRIDER__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")];
    let unreachable = postrider(&["sources", "check"], Some(&config), &nobody).await;
    assert_eq!(unreachable.code, 1);
    assert!(unreachable.one_line().contains("can't reach Kafka at '127.0.0.1:1'"), "{unreachable:?}");
}

async fn a_check_holds_events_against_the_schemas_of_their_types(context: Context) {
    let deployment = Deployment::start(&context, "check-schemas").await;
    let (tenant, operator, topic) = (deployment.tenant().await, deployment.operator(), deployment.topics.events());
    let schema = json!({"type": "object", "required": ["total"]});
    for mode in ["reject", "report"] {
        let event_type = json!({"name": format!("order.{mode}"), "schema": schema, "validation": mode});
        let (status, body) = operator.post("/v1/event-types", &event_type).await.unwrap();
        assert_eq!(status, 201, "{body}");
    }
    deployment.synced().await;
    for (id, name) in [("o-1", "order.reject"), ("o-2", "order.report"), ("o-3", "order.other")] {
        let value = json!({"id": id, "type": name, "tenant": tenant.id, "data": {}});
        deployment.write(&record(&topic, "k", value.to_string(), &[])).await;
    }
    let config = deployment.settings.to_text();
    let checked = postrider(&["sources", "check", "--json"], Some(&config), &[]).await;
    assert_eq!(checked.code, 1, "{checked:?}");
    let found = lines(&checked.stdout);
    let [rejected, reported, other] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((&rejected["result"], &rejected["reason"]), (&json!("rejected"), &json!("schema")), "{rejected}");
    for said in [&rejected["message"], &reported["violation"]] {
        assert!(said.as_str().unwrap().contains("total"), "{found:#?}");
    }
    assert_eq!((&reported["id"], &reported["result"]), (&json!("o-2"), &json!("event")));
    assert_eq!((&other["id"], &other["violation"]), (&json!("o-3"), &Value::Null));
}
