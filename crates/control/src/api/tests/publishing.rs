use poem::http::Method;
use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::api::PublishError;

#[tokio::test]
async fn an_event_is_published_with_its_data_untouched() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let data = r#"{"b":1.10, "a": 12345678901234567890123,  "b":2, "t":"\u00e9"}"#;
    let input = format!(
        r#"{{"data": {data}, "type": "order.created", "id": "evt-1", "subject": "ord-1", "time": "2026-01-31T12:00:00+02:00"}}"#
    );
    let answer = acme.post_text("/v1/events", &input).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let event_id = "id,6:events,10:/v1/events,5:evt-1";
    let accepted =
        json!({ "id": "evt-1", "event_id": event_id, "topic": "postrider.events", "partition": 0, "offset": 0 });
    assert_eq!(answer.body, accepted);
    let published = api.publisher.published.lock().clone();
    let [event] = &published[..] else { panic!("one event, not {published:?}") };
    assert_eq!(event.data, data.as_bytes());
    assert_eq!(event.tenant.as_str(), acme.id);
    assert_eq!((event.event_type.as_str(), event.subject.as_deref()), ("order.created", Some("ord-1")));
    assert_eq!(event.time.to_rfc3339(), "2026-01-31T10:00:00.000Z");
}

#[tokio::test]
async fn an_event_needs_only_a_type_and_data() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    for data in [json!(null), json!(7), json!("text"), json!([1, 2])] {
        let answer = acme.post("/v1/events", &json!({ "type": "a", "data": data })).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert!(answer.id().starts_with("evt_"), "{}", answer.text);
    }
    let published = api.publisher.published.lock().clone();
    assert_eq!(
        published.iter().map(|event| &event.data[..]).collect::<Vec<_>>(),
        [&b"null"[..], b"7", b"\"text\"", b"[1,2]"]
    );
}

#[tokio::test]
async fn a_bad_event_is_refused_and_not_published() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    for (input, field) in [
        (json!({ "data": {} }), ""),
        (json!({ "type": "a" }), ""),
        (json!({ "type": "", "data": {} }), "/type"),
        (json!({ "type": "no spaces", "data": {} }), "/type"),
        (json!({ "type": "x".repeat(257), "data": {} }), "/type"),
        (json!({ "type": "a", "data": {}, "id": "" }), "/id"),
        (json!({ "type": "a", "data": {}, "id": "x".repeat(257) }), "/id"),
        (json!({ "type": "a", "data": {}, "subject": "a\nb" }), "/subject"),
        (json!({ "type": "a", "data": {}, "time": "yesterday" }), "/time"),
        (json!({ "type": "a", "data": {}, "tenant": "ten_x" }), "/tenant"),
    ] {
        let answer = acme.post("/v1/events", &input).await;
        answer.assert_problem(422, (!field.is_empty()).then_some(field).or(answer.body["field"].as_str()));
    }
    let large = json!({ "type": "a", "data": "x".repeat(1 << 20) });
    acme.post("/v1/events", &large).await.assert_problem(413, Some("/data"));
    assert!(api.publisher.published.lock().is_empty());
}

#[tokio::test]
async fn data_that_would_be_rejected_is_refused_at_once_as_its_type_is_now() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let operator = async |method: Method, path: &str, body: &Value| {
        let answer = api.call(method, path, &api.operator_key, None, Some(&body.to_string())).await;
        assert!(answer.status < 300, "{}", answer.text);
    };
    let schema = json!({"properties": {"lines": {"items": {"properties": {"quantity": {"minimum": 1}}}}}});
    let mode = |validation: &str| json!({"name": "order.created", "schema": schema, "validation": validation});
    let bad = json!({"type": "order.created", "data": {"lines": [{"quantity": 2}, {"quantity": 0}]}});
    let refused = async || {
        let answer = acme.post("/v1/events", &bad).await;
        answer.assert_problem(422, Some("/data/lines/1/quantity"));
        assert!(answer.text.contains("order.created"), "{}", answer.text);
    };
    let path = "/v1/event-types/order.created";

    operator(Method::POST, "/v1/event-types", &mode("reject")).await;
    refused().await;
    refused().await;
    // A batch is refused whole.
    let batch = json!({"events": [{"type": "order.paid", "data": 1}, bad, {"type": "order.paid", "data": 2}]});
    let answer = acme.post("/v1/events/batch", &batch).await;
    answer.assert_problem(422, Some("/events/1/data/lines/1/quantity"));
    let deep = format!(r#"{{"type": "order.created", "data": {}{}}}"#, "[".repeat(200), "]".repeat(200));
    acme.post_text("/v1/events", &deep).await.assert_problem(422, Some("/data"));
    assert!(api.publisher.published.lock().is_empty());
    let good = json!({"type": "order.created", "data": {"lines": [{"quantity": 1}]}});
    for taken in [&good, &json!({"type": "order.paid", "data": bad["data"]})] {
        assert_eq!(acme.post("/v1/events", taken).await.status, 202);
    }
    for validation in ["report", "off"] {
        operator(Method::PATCH, path, &json!({"validation": validation})).await;
        assert_eq!(acme.post("/v1/events", &bad).await.status, 202, "{validation}");
    }
    operator(Method::PATCH, path, &json!({"validation": "reject"})).await;
    refused().await;
    operator(Method::PATCH, path, &json!({"schema": {"type": "object"}})).await;
    assert_eq!(acme.post("/v1/events", &bad).await.status, 202);
}

#[tokio::test]
async fn without_kafkas_acknowledgement_the_answer_is_503() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let event = json!({ "type": "a", "data": {} });
    *api.publisher.fails.lock() = Some(PublishError::Unavailable("no broker".to_owned()));
    acme.post("/v1/events", &event).await.assert_problem(503, None);
    *api.publisher.fails.lock() = Some(PublishError::TooLarge("over message.max.bytes".to_owned()));
    acme.post("/v1/events", &event).await.assert_problem(413, Some("/data"));
    *api.publisher.hangs.lock() = true;
    acme.post("/v1/events", &event).await.assert_problem(503, None);
}

#[tokio::test]
async fn a_batch_is_published_in_its_order() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let events: Vec<_> = (0..1_000).map(|n| json!({ "type": "a.b", "data": n, "id": format!("evt-{n}") })).collect();
    let answer = acme.post("/v1/events/batch", &json!({ "events": events })).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let accepted = answer.body["data"].as_array().unwrap();
    assert_eq!(accepted.len(), 1_000);
    for (n, accepted) in accepted.iter().enumerate() {
        assert_eq!((&accepted["id"], &accepted["offset"]), (&json!(format!("evt-{n}")), &json!(n)));
    }
    let published = api.publisher.published.lock();
    assert!(published.iter().enumerate().all(|(n, event)| event.data == n.to_string()));
}

#[tokio::test]
async fn a_batch_with_one_bad_event_is_refused_whole_and_names_it() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let good = json!({ "type": "a", "data": 1 });
    let many = vec![&good; 1_001];
    let large = json!({ "type": "a", "data": "x".repeat(1 << 20) });
    for (events, status, field) in [
        (json!([]), 422, "/events"),
        (json!(many), 422, "/events"),
        (json!([good, { "type": "no spaces", "data": 1 }]), 422, "/events/1/type"),
        (json!([good, { "type": "a" }]), 422, "/events/1"),
        (json!([good, { "type": "a", "data": 1, "x": 1 }]), 422, "/events/1/x"),
        (json!([good, large]), 413, "/events/1/data"),
        (json!({}), 422, "/events"),
    ] {
        acme.post("/v1/events/batch", &json!({ "events": events })).await.assert_problem(status, Some(field));
    }
    assert!(api.publisher.published.lock().is_empty());
    *api.publisher.fails.lock() = Some(PublishError::Unavailable("no broker".to_owned()));
    let answer = acme.post("/v1/events/batch", &json!({ "events": [good] })).await;
    answer.assert_problem(503, None);
    assert!(answer.text.contains("the same ids"), "{}", answer.text);
}
