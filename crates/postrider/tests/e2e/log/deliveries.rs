//! Deliveries and their attempts: filters and pages.

use std::collections::BTreeSet;

use postrider_testkit::{Behaviour, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![deliveries_are_listed_by_what_one_looks_for_page_by_page, an_id_that_no_table_takes_does_not_stop_the_log]
}

async fn deliveries_are_listed_by_what_one_looks_for_page_by_page(context: Context) {
    const EACH: usize = 25;
    let deployment = Deployment::start(&context, "log").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let good = Hook::create(&tenant, &receiver, "/good", json!({})).await;
    let bad = json!({"event_types": ["order.paid"], "retry": {"delays_seconds": []}});
    let bad = Hook::create(&tenant, &receiver, "/bad", bad).await;
    receiver.behave("/bad", Behaviour::Always(400));
    deployment.synced().await;
    for number in 0..EACH {
        for event_type in ["order.created", "order.paid"] {
            let id = format!("{event_type}-{number}");
            deployment.write(&event(&deployment, &tenant, &id, event_type, &json!(number))).await;
        }
    }

    let all = tenant.deliveries("", EACH * 3).await;
    assert_eq!(all.len(), EACH * 3);
    for (query, count) in [
        (format!("endpoint_id={}", good.id), EACH * 2),
        (format!("endpoint_id={}", bad.id), EACH),
        ("event_type=order.paid".to_owned(), EACH * 2),
        ("status=failed".to_owned(), EACH),
        ("status=delivered".to_owned(), EACH * 2),
        (format!("status=delivered&endpoint_id={}&event_type=order.created", good.id), EACH),
        (format!("message_id={}", good.message_id("order.paid-7")), 1),
        ("status=waiting".to_owned(), 0),
        ("error_class=http_client_error".to_owned(), EACH),
        (format!("error_class=timeout&endpoint_id={}", bad.id), 0),
        ("http_status=400".to_owned(), EACH),
        ("http_status=400&event_type=order.created".to_owned(), 0),
        ("kind=test".to_owned(), 0),
        ("since=2026-01-31T12:00:00Z&until=9999-01-01T00:00:00Z".to_owned(), EACH * 3),
        ("until=2026-01-31T12:00:00Z".to_owned(), 0),
    ] {
        assert_eq!(tenant.deliveries(&query, count).await.len(), count, "{query}");
    }
    // One event, two endpoints.
    let event_id = urlencoded(all[0]["event_id"].as_str().unwrap());
    let of_event = tenant.deliveries(&format!("event_id={event_id}"), 1).await;
    assert!(of_event.iter().all(|delivery| delivery["event_id"] == all[0]["event_id"]), "{of_event:#?}");

    // Pages of seven have everything once, the latest first.
    let paged = tenant.list("/v1/deliveries?limit=7").await;
    let ids = |all: &[Value]| -> BTreeSet<String> {
        all.iter().map(|delivery| delivery["message_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((paged.len(), ids(&paged)), (EACH * 3, ids(&all)));
    let times: Vec<&str> = paged.iter().map(|delivery| delivery["matched_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|earlier, later| earlier >= later), "{times:?}");

    let run = tenant.delivery(&bad.message_id("order.paid-7"), "failed").await;
    let delivery = &run["delivery"];
    assert_eq!(delivery["endpoint_id"], bad.id);
    assert_eq!(delivery["event_type"], "order.paid");
    assert_eq!(delivery["kind"], "live");
    assert_eq!(delivery["source"]["topic"], deployment.topics.events());
    let [attempt] = &run["attempts"].as_array().unwrap()[..] else { panic!("{run:#}") };
    assert_eq!((&attempt["number"], &attempt["status"]), (&json!(1), &json!(400)));
    assert_eq!(attempt["error"], "http_client_error");
    assert!(attempt["duration_ms"].as_f64().unwrap() > 0.0);

    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=nonsense", "cursor"),
        ("status=lost", "status"),
        ("endpoint_id=7", "endpoint_id"),
        ("message_id=7", "message_id"),
    ] {
        let (status, problem) = tenant.api.get(&format!("/v1/deliveries?{query}")).await.unwrap();
        assert_eq!((status, &problem["field"]), (StatusCode::BAD_REQUEST, &json!(field)), "{query}: {problem}");
    }
}

async fn an_id_that_no_table_takes_does_not_stop_the_log(context: Context) {
    let deployment = Deployment::with(&context, "nul", "[topics]\npartitions = 1").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/nul", json!({"retry": {"delays_seconds": []}})).await;
    receiver.behave("/nul", Behaviour::Always(400));
    deployment.synced().await;
    for id in ["a\0b", "after"] {
        deployment.write(&event(&deployment, &tenant, id, "order.created", &json!(id))).await;
    }
    for id in ["a\0b", "after"] {
        let run = tenant.delivery(&hook.message_id(id), "failed").await;
        let event_id = urlencoded(run["delivery"]["event_id"].as_str().unwrap());
        let (status, payload) = tenant.api.get(&format!("/v1/events/{event_id}/payload")).await.unwrap();
        assert_eq!((status, &payload["data"]), (StatusCode::OK, &json!(json!(id).to_string())), "{payload}");
    }
    // The dead-letter queue has them too.
    let path = "/v1/dead-letters";
    eventually(LIMIT, "both to be in the dead-letter queue", async || {
        (tenant.list(path).await.len() == 2).then_some(())
    })
    .await;
}

fn urlencoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"))
}
