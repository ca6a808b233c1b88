use postrider_domain::message_id::event_id;

use super::*;

const TENANT: &str = "ten_01hzzzzzzzzzzzzzzzzzzzzzzz";

fn source(format: SourceFormat) -> SourceConfig {
    SourceConfig { name: "orders".to_owned(), topic: "shop.orders".to_owned(), format, tenant: None, dedupe: None }
}

fn record(headers: &[(&'static str, &str)], value: &str) -> Record {
    let mut record = Record {
        topic: "shop.orders".into(),
        partition: 2,
        offset: 40,
        timestamp: Timestamp::from_millis(1_000),
        key: Some(Bytes::from_static(b"customer 7")),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    };
    for (name, value) in headers {
        record.headers.push(*name, Bytes::copy_from_slice(value.as_bytes()));
    }
    record
}

fn decoded(record: &Record) -> Event {
    decode(&source(SourceFormat::Auto), record).unwrap().unwrap()
}

fn rejected(record: &Record) -> (RejectReason, String) {
    let rejection = decode(&source(SourceFormat::Auto), record).unwrap_err();
    (rejection.reason, rejection.message)
}

const BINARY_HEADERS: [(&str, &str); 5] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "evt-1"),
    ("ce_source", "/shop"),
    ("ce_type", "order.created"),
    ("ce_tenant", TENANT),
];

#[test]
fn binary_cloudevents() {
    let mut headers = BINARY_HEADERS.to_vec();
    headers.extend([
        ("ce_time", "2026-01-31T12:00:00Z"),
        ("ce_subject", "ord_1"),
        ("ce_partitionkey", "k"),
        ("content-type", "application/json; charset=utf-8"),
    ]);
    let event = decoded(&record(&headers, "{ \"total\": 1.10 }"));
    assert_eq!(event.id, event_id("orders", Some("/shop"), "evt-1"));
    assert_eq!((event.source.as_str(), event.event_type.as_str()), ("/shop", "order.created"));
    assert_eq!((event.tenant.as_str(), event.subject.as_deref()), (TENANT, Some("ord_1")));
    assert_eq!((event.ordering_key.as_deref(), event.producer_id.as_deref()), (Some("k"), Some("evt-1")));
    assert_eq!(event.time.to_rfc3339(), "2026-01-31T12:00:00.000Z");
    assert_eq!(event.data, "{ \"total\": 1.10 }");
    assert_eq!(event.coordinates.offset, 40);
}

#[test]
fn binary_cloudevents_may_have_other_data_or_none() {
    let mut headers = BINARY_HEADERS.to_vec();
    assert_eq!(decoded(&record(&headers, "{}")).content_type, "application/json");
    assert_eq!(decoded(&record(&headers, "\u{1}")).content_type, "application/octet-stream");
    assert_eq!(decoded(&record(&headers, "")).data, "");
    headers.push(("content-type", "text/plain"));
    let event = decoded(&record(&headers, "hello"));
    assert_eq!((event.content_type.as_str(), &*event.data), ("text/plain", &b"hello"[..]));
}

#[test]
fn structured_cloudevents() {
    let value = format!(
        r#"{{"specversion":"1.0","id":"evt-1","source":"/shop","type":"order.created","time":"2026-01-31T12:00:00Z",
            "tenant":"{TENANT}","subject":"ord_1","partitionkey":"k","other":[1],"data":{{ "total": 1.10, "n":1e400 }} }}"#
    );
    for headers in [&[][..], &[("content-type", "application/cloudevents+json; charset=UTF-8")]] {
        let event = decoded(&record(headers, &value));
        assert_eq!(event.id, event_id("orders", Some("/shop"), "evt-1"));
        assert_eq!(event.data, "{ \"total\": 1.10, \"n\":1e400 }");
        assert_eq!((event.content_type.as_str(), event.ordering_key.as_deref()), ("application/json", Some("k")));
        assert_eq!(event.time.to_rfc3339(), "2026-01-31T12:00:00.000Z");
    }
}

#[test]
fn structured_cloudevents_may_have_binary_data_or_text() {
    let with = |members: &str| {
        let value = format!(r#"{{"specversion":"1.0","id":"1","source":"/","type":"a","tenant":"{TENANT}"{members}}}"#);
        decode(&source(SourceFormat::CloudEvents), &record(&[], &value))
    };
    let data = |members: &str| {
        let event = with(members).unwrap().unwrap();
        (event.content_type, event.data)
    };
    assert_eq!(data(""), ("application/json".to_owned(), Bytes::new()));
    assert_eq!(data(r#","data_base64":"AAE=""#), ("application/octet-stream".to_owned(), Bytes::from_static(&[0, 1])));
    let text = r#","datacontenttype":"text/plain","data":"a\nb""#;
    assert_eq!(data(text), ("text/plain".to_owned(), Bytes::from_static(b"a\nb")));
    for bad in [
        r#","data":1,"data_base64":"AAE=""#,
        r#","data_base64":"%""#,
        r#","datacontenttype":"text/plain","data":1"#,
        r#","datacontenttype":"application/json","data_base64":"AAE=""#,
        r#","time":"yesterday""#,
    ] {
        assert_eq!(with(bad).unwrap_err().reason, RejectReason::Undecodable, "{bad}");
    }
}

#[test]
fn plain_json() {
    let value = format!(
        r#"{{"id":17,"type":"order.created","tenant":"{TENANT}","timestamp":1700000000123,"subject":"ord_1",
            "source":{{"any":"thing"}},"time":5,"data":{{ "total": 1.10 }},"previous": [ ]}}"#
    );
    let event = decoded(&record(&[], &value));
    assert_eq!(event.id, event_id("orders", None, "17"));
    assert_eq!((event.source.as_str(), event.time.as_millis()), ("orders", 1_700_000_000_123));
    assert_eq!((&*event.data, event.previous.as_deref()), (&b"{ \"total\": 1.10 }"[..], Some(&b"[ ]"[..])));
    assert_eq!((event.subject.as_deref(), event.ordering_key.as_deref()), (Some("ord_1"), Some("customer 7")));
}

#[test]
fn plain_json_may_have_its_type_tenant_and_id_in_headers() {
    let headers = [("type", "order.created"), ("tenant", TENANT), ("id", "evt-1")];
    let event = decoded(&record(&headers, r#"{"data":null}"#));
    assert_eq!(
        (event.event_type.as_str(), event.tenant.as_str(), &*event.data),
        ("order.created", TENANT, &b"null"[..])
    );
    assert_eq!(event.id, event_id("orders", None, "evt-1"));
}

#[test]
fn an_event_without_an_id_is_identified_by_its_record() {
    let value = format!(r#"{{"type":"a","tenant":"{TENANT}","data":1,"timestamp":"2026-01-31T12:00:00Z"}}"#);
    let event = decoded(&record(&[], &value));
    assert_eq!(event.id.as_str(), "at,6:orders,11:shop.orders,2,40,1000");
    assert_eq!(event.time.to_rfc3339(), "2026-01-31T12:00:00.000Z");
}

#[test]
fn the_sources_tenant_is_that_of_records_that_name_none() {
    let tenant: TenantId = TENANT.parse().unwrap();
    let source = SourceConfig { tenant: Some(tenant.clone()), ..source(SourceFormat::Json) };
    let event = decode(&source, &record(&[], r#"{"type":"a","data":1}"#)).unwrap().unwrap();
    assert_eq!((event.tenant, event.time.as_millis()), (tenant, 1_000));
}

#[test]
fn what_is_not_an_event_is_rejected_with_its_reason() {
    let with = |members: &str| format!(r#"{{"tenant":"{TENANT}","data":1{members}}}"#);
    let deep = format!(r#"{{"type":"a","tenant":"{TENANT}","data":{}x}}"#, "[".repeat(10_000));
    let table = [
        ("nonsense".to_owned(), RejectReason::Undecodable, "not an event in JSON"),
        ("[1]".to_owned(), RejectReason::Undecodable, "a JSON list"),
        ("17".to_owned(), RejectReason::Undecodable, "not an event in JSON"),
        (deep, RejectReason::Undecodable, "not an event in JSON"),
        (with(r#","type":7"#), RejectReason::Undecodable, "expected a string"),
        (with(r#","type":"a","timestamp":1.5"#), RejectReason::Undecodable, "whole number"),
        (with(r#","type":"a","timestamp":"soon""#), RejectReason::Undecodable, "RFC 3339"),
        (with(r#","type":"a","id":{}"#), RejectReason::Undecodable, "not text or a number"),
        (r#"{"type":"a"}"#.to_owned(), RejectReason::Undecodable, "no 'data'"),
        (with(""), RejectReason::EventType, "empty"),
        (with(r#","type":"a b""#), RejectReason::EventType, "not allowed"),
        (r#"{"type":"a","data":1}"#.to_owned(), RejectReason::Tenant, "names no tenant"),
        (r#"{"type":"a","data":1,"tenant":"acme"}"#.to_owned(), RejectReason::Tenant, "not a tenant id"),
        (with(r#","specversion":"0.3""#), RejectReason::Undecodable, "not supported"),
    ];
    for (value, reason, part) in table {
        let (found, message) = rejected(&record(&[], &value));
        assert_eq!(found, reason, "{value}: {message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn bytes_that_are_not_text_are_rejected() {
    let mut bad = record(&[], "");
    bad.value = Some(Bytes::from_static(b"{\"type\":\"a\xff\"}"));
    assert_eq!(rejected(&bad).0, RejectReason::Undecodable);
    let mut headers = record(&BINARY_HEADERS[1..], "{}");
    headers.headers.push("ce_specversion", Bytes::from_static(b"\xff"));
    assert!(rejected(&headers).1.contains("'ce_specversion' is not UTF-8"));
    let mut json = BINARY_HEADERS.to_vec();
    json.push(("content-type", "application/json"));
    assert!(rejected(&record(&json, "{")).1.contains("not JSON"));
    json.push(("content-type", "text/plain\r\nx: y"));
    assert!(rejected(&record(&json, "{}")).1.contains("not a content type"));
}

#[test]
fn a_record_over_1_mib_is_rejected() {
    let value = format!(r#"{{"type":"a","tenant":"{TENANT}","data":"{}"}}"#, "x".repeat(MAX_RECORD_BYTES));
    assert_eq!(rejected(&record(&[], &value)).0, RejectReason::TooLarge);
}

#[test]
fn a_record_with_more_headers_than_what_follows_from_it_can_have_is_rejected() {
    let subject = "x".repeat(MAX_HEADERS_BYTES);
    let mut headers = BINARY_HEADERS.to_vec();
    headers.push(("ce_subject", &subject));
    assert_eq!(rejected(&record(&headers, "{}")).0, RejectReason::TooLarge);
}

#[test]
fn a_record_without_a_value_is_no_event() {
    for format in [SourceFormat::Auto, SourceFormat::Json, SourceFormat::CloudEvents] {
        assert!(matches!(decode(&source(format), &record(&[], "")), Ok(None)));
        let tombstone = Record { value: None, ..record(&[], "") };
        assert!(matches!(decode(&source(format), &tombstone), Ok(None)));
    }
}

#[test]
fn a_source_of_cloudevents_takes_nothing_else() {
    let value = format!(r#"{{"type":"a","tenant":"{TENANT}","data":1}}"#);
    let rejection = decode(&source(SourceFormat::CloudEvents), &record(&[], &value)).unwrap_err();
    assert!(rejection.message.contains("not a CloudEvent"), "{}", rejection.message);
}

#[test]
fn only_a_well_formed_trace_context_is_passed_on() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(traceparent(&record(&[("traceparent", good)], "").headers).as_deref(), Some(good));
    assert_eq!(traceparent(&record(&[("ce_traceparent", good)], "").headers).as_deref(), Some(good));
    assert_eq!(traceparent(&record(&[("traceparent", "x\r\ny")], "").headers), None);
}
