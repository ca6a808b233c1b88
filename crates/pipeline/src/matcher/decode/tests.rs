use postrider_domain::message_id::event_id;

use super::*;
use crate::matcher::{FieldFrom, Fields};

const TENANT: &str = "ten_01hzzzzzzzzzzzzzzzzzzzzzzz";

fn source(format: SourceFormat) -> SourceConfig {
    SourceConfig { format, ..SourceConfig::new("orders", "shop.orders") }
}

/// Decodes a record that is one event at most.
fn decode(source: &SourceConfig, record: &Record) -> Result<Option<Event>, Rejection> {
    check_size(record)?;
    let Decoded { mut events, mut rejections } = super::decode(source, record);
    assert!(events.len() + rejections.len() <= 1, "{events:?} {rejections:?}");
    rejections.pop().map_or_else(|| Ok(events.pop()), Err)
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
        ("[1]".to_owned(), RejectReason::Undecodable, "event 1 of 1: it is not an event in JSON"),
        ("[1".to_owned(), RejectReason::Undecodable, "not a list in JSON"),
        ("17".to_owned(), RejectReason::Undecodable, "not an event in JSON"),
        (deep, RejectReason::Undecodable, "not an event in JSON"),
        (with(r#","type":7"#), RejectReason::Undecodable, "'type' is not text"),
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

fn batch(source: &SourceConfig, value: &str) -> Decoded {
    super::decode(source, &record(&[("content-type", "application/cloudevents-batch+json")], value))
}

fn cloudevent(id: &str, more: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"order.created","tenant":"{TENANT}"{more}}}"#)
}

#[test]
fn a_batch_is_its_events_in_order_with_their_bytes_untouched() {
    let value = format!(r" [{}, {} ]", cloudevent("1", r#","data":{ "n": 1.10 }"#), cloudevent("2", r#","data":[ ]"#));
    for format in [SourceFormat::Auto, SourceFormat::CloudEvents] {
        let Decoded { events, rejections } = batch(&source(format), &value);
        assert!(rejections.is_empty(), "{rejections:?}");
        let found: Vec<_> = events.iter().map(|event| (event.id.clone(), &*event.data)).collect();
        let id = |id: &str| event_id("orders", Some("/shop"), id);
        assert_eq!(found, [(id("1"), &b"{ \"n\": 1.10 }"[..]), (id("2"), &b"[ ]"[..])]);
    }
    assert!(batch(&source(SourceFormat::Auto), "[]").events.is_empty());
    let refused = batch(&source(SourceFormat::Json), &value).rejections;
    assert!(refused[0].message.contains("a JSON list"), "{refused:?}");
}

#[test]
fn what_is_wrong_in_a_batch_is_named_and_the_rest_is_understood() {
    let value = format!(r"[{},7,{}]", cloudevent("1", ""), cloudevent("3", r#","time":"soon""#));
    let Decoded { events, rejections } = batch(&source(SourceFormat::Auto), &value);
    assert_eq!(events.len(), 1);
    let messages: Vec<&str> = rejections.iter().map(|rejection| rejection.message.as_str()).collect();
    assert!(messages[0].starts_with("event 2 of 3: it is not an event"), "{messages:?}");
    assert!(messages[1].starts_with("event 3 of 3: the time \"soon\""), "{messages:?}");
    let many = format!("[{}1]", "1,".repeat(1_000));
    assert_eq!(batch(&source(SourceFormat::Auto), &many).rejections[0].reason, RejectReason::TooLarge);
}

#[test]
fn what_a_batch_says_of_each_of_its_events_is_bounded() {
    let source = source(SourceFormat::Auto);
    let event = format!(r#"{{"specversion":"1.0","source":"/","type":"a.b","tenant":"{TENANT}"}}"#);
    for (key, refused) in [(8 << 10, false), (20 << 10, true)] {
        let mut record = record(&[], &format!("[{}]", vec![event.as_str(); 1_000].join(",")));
        record.key = Some(vec![b'k'; key].into());
        let Decoded { events, rejections } = super::decode(&source, &record);
        assert_eq!((events.len(), rejections.len()), if refused { (0, 1) } else { (1_000, 0) });
        assert!(rejections.iter().all(|rejection| rejection.reason == RejectReason::TooLarge));
    }
}

#[test]
fn events_of_a_batch_without_ids_are_told_apart() {
    let anonymous = format!(r#"{{"specversion":"1.0","source":"/","type":"a","tenant":"{TENANT}"}}"#);
    let events = batch(&source(SourceFormat::Auto), &format!("[{anonymous},{anonymous}]")).events;
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["at,6:orders,11:shop.orders,2,40,1000,0", "at,6:orders,11:shop.orders,2,40,1000,1"]);
}

#[expect(clippy::unnecessary_wraps, reason = "as a source's fields are")]
fn at(pointer: &str) -> Option<FieldFrom> {
    Some(FieldFrom::Pointer(pointer.parse().unwrap()))
}

#[expect(clippy::unnecessary_wraps, reason = "as a source's fields are")]
fn in_header(name: &str) -> Option<FieldFrom> {
    Some(FieldFrom::Header(name.to_owned()))
}

fn mapped(fields: Fields) -> SourceConfig {
    SourceConfig { fields, ..source(SourceFormat::Json) }
}

#[test]
fn the_parts_of_an_event_are_where_the_source_says() {
    let source = mapped(Fields {
        event_type: in_header("event-type"),
        id: at("/meta/id"),
        time: at("/meta/at"),
        tenant: Some(FieldFrom::Constant(TENANT.to_owned())),
        subject: Some(FieldFrom::Key),
        ordering_key: at("/after/customer"),
        previous: at("/before"),
        payload: at("/after"),
    });
    // What the format would have there means something else here.
    let value = r#"{"type":{},"id":[],"tenant":7,"timestamp":"soon","subject":1,
        "meta":{"id":1234567890123456789012,"at":1700000000},"before":{"n":1.0},"after":{ "n": 1.10,"customer":"c7" }}"#;
    let event = decode(&source, &record(&[("event-type", "order.changed")], value)).unwrap().unwrap();
    assert_eq!(event.id, event_id("orders", None, "1234567890123456789012"));
    assert_eq!((event.event_type.as_str(), event.tenant.as_str()), ("order.changed", TENANT));
    assert_eq!(event.time, Timestamp::from_millis(1_700_000_000_000));
    assert_eq!((event.subject.as_deref(), event.ordering_key.as_deref()), (Some("customer 7"), Some("c7")));
    assert_eq!(event.data, r#"{ "n": 1.10,"customer":"c7" }"#);
    assert_eq!(
        (event.previous.as_deref(), event.content_type.as_str()),
        (Some(&b"{\"n\":1.0}"[..]), "application/json")
    );
}

#[test]
fn the_whole_record_may_be_the_payload_whatever_it_is() {
    let fields = || Fields { event_type: in_header("t"), payload: at(""), ..Fields::default() };
    let source = SourceConfig { tenant: Some(TENANT.parse().unwrap()), ..mapped(fields()) };
    for value in [r#"{"any": "thing"}"#, "[1, 2]", "17", "\"text\"", "null"] {
        let event = decode(&source, &record(&[("t", "a.b")], value)).unwrap().unwrap();
        assert_eq!(event.data, value);
    }
    let rejection = decode(&source, &record(&[("t", "a.b")], "nonsense")).unwrap_err();
    assert!(rejection.message.contains("the payload can't be looked up at '': the value is not JSON"), "{rejection:?}");
}

#[test]
fn times_are_rfc_3339_or_numbers_of_seconds_or_milliseconds() {
    let source = mapped(Fields {
        time: at("/t"),
        tenant: Some(FieldFrom::Constant(TENANT.to_owned())),
        event_type: Some(FieldFrom::Constant("a".to_owned())),
        payload: at(""),
        ..Fields::default()
    });
    let time = |t: &str| decode(&source, &record(&[], &format!(r#"{{"t":{t}}}"#))).map(|event| event.unwrap().time);
    for (text, millis) in [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.25", 1_700_000_000_250),
        ("1.7e9", 1_700_000_000_000),
        ("1700000000123", 1_700_000_000_123),
        ("\"1700000000123\"", 1_700_000_000_123),
        ("-1", -1_000),
        ("\"2026-01-31T12:00:00Z\"", 1_769_860_800_000),
        ("null", 1_000),
    ] {
        assert_eq!(time(text), Ok(Timestamp::from_millis(millis)), "{text}");
    }
    let huge = "9".repeat(400);
    for bad in ["\"soon\"", "{}", "true", "1700000000123456", &huge, "1e400", "\"NaN\"", "\"inf\"", "\"\""] {
        assert_eq!(time(bad).unwrap_err().reason, RejectReason::Undecodable, "{bad}");
    }
}

#[test]
fn what_is_not_where_the_source_says_is_named() {
    let constant = |text: &str| Some(FieldFrom::Constant(text.to_owned()));
    let base = || Fields { event_type: constant("a"), tenant: constant(TENANT), payload: at(""), ..Fields::default() };
    let table = [
        (Fields { payload: at("/none"), ..base() }, RejectReason::Undecodable, "there is no payload at '/none'"),
        (Fields { event_type: at("/none"), ..base() }, RejectReason::EventType, "empty"),
        (Fields { event_type: at("/object"), ..base() }, RejectReason::Undecodable, "type at '/object' is an object"),
        (Fields { id: at("/list"), ..base() }, RejectReason::Undecodable, "the id at '/list' is a list, not text"),
        (Fields { tenant: at("/number"), ..base() }, RejectReason::Tenant, "'7' is not"),
        (Fields { subject: in_header("bad"), ..base() }, RejectReason::Undecodable, "in the header 'bad' is not UTF-8"),
        (Fields { previous: in_header("bad"), ..base() }, RejectReason::Undecodable, "is not JSON"),
        (Fields { time: in_header("text"), ..base() }, RejectReason::Undecodable, "RFC 3339"),
    ];
    let mut record = record(&[("text", "words")], r#"{"object":{},"list":[],"number":7}"#);
    record.headers.push("bad", Bytes::from_static(b"\xff"));
    for (fields, reason, part) in table {
        let rejection = decode(&mapped(fields), &record).unwrap_err();
        assert_eq!(rejection.reason, reason, "{rejection:?}");
        assert!(rejection.message.contains(part), "{rejection:?}");
    }
    let absent = Fields { id: at("/none"), subject: in_header("none"), previous: at("/none"), ..base() };
    let event = decode(&mapped(absent), &record).unwrap().unwrap();
    assert_eq!((event.producer_id, event.subject, event.previous), (None, None, None));
}

#[test]
fn fields_lead_into_cloudevents_too() {
    let fields = || Fields { subject: at("/data/order"), ordering_key: in_header("k"), ..Fields::default() };
    let structured = SourceConfig { fields: fields(), ..source(SourceFormat::Auto) };
    let value = format!("[{}]", cloudevent("1", r#","subject":"s","data":{"order":"o-1"}"#));
    let event = super::decode(&structured, &record(&[("k", "v")], &value)).events.remove(0);
    assert_eq!((event.subject.as_deref(), event.ordering_key.as_deref()), (Some("o-1"), Some("v")));
    let binary =
        SourceConfig { fields: Fields { subject: at("/order"), ..Fields::default() }, ..source(SourceFormat::Auto) };
    let event = decode(&binary, &record(&BINARY_HEADERS, r#"{"order":"o-2"}"#)).unwrap().unwrap();
    assert_eq!(event.subject.as_deref(), Some("o-2"));
}

fn avro(source: &SourceConfig, headers: &[(&'static str, &str)], json: &str, name: &str) -> Decoded {
    let avro = AvroJson { json: Bytes::copy_from_slice(json.as_bytes()), name: name.to_owned() };
    decode_avro(source, &record(headers, "(avro)"), &avro)
}

#[test]
fn avro_is_the_event_of_its_schemas_name_with_all_of_it_as_data() {
    let tenant = [("tenant", TENANT), ("id", "7")];
    let event = avro(&source(SourceFormat::Avro), &tenant, r#"{"n":1}"#, "com.shop.OrderPlaced").events.remove(0);
    assert_eq!((event.event_type.as_str(), &*event.data), ("com.shop.OrderPlaced", &b"{\"n\":1}"[..]));
    assert_eq!((event.id, event.content_type.as_str()), (event_id("orders", None, "7"), "application/json"));
    let typed = [("tenant", TENANT), ("type", "order.placed")];
    let event = avro(&source(SourceFormat::Auto), &typed, "{}", "x.Y").events.remove(0);
    assert_eq!(event.event_type, "order.placed");
    let fields = Fields { event_type: at("/kind"), payload: at("/body"), ..Fields::default() };
    let mapped = SourceConfig { fields, ..source(SourceFormat::Avro) };
    let event = avro(&mapped, &tenant, r#"{"kind":"k","body":[1]}"#, "x.Y").events.remove(0);
    assert_eq!((event.event_type.as_str(), &*event.data), ("k", &b"[1]"[..]));
}

#[test]
fn cloudevents_may_be_avro_in_either_mode() {
    let json = cloudevent("1", r#","data":{"n":1}"#);
    let event = avro(&source(SourceFormat::CloudEvents), &[], &json, AVRO_CLOUDEVENT).events.remove(0);
    assert_eq!((event.id, &*event.data), (event_id("orders", Some("/shop"), "1"), &b"{\"n\":1}"[..]));
    let mut headers = BINARY_HEADERS.to_vec();
    headers.push(("content-type", "application/avro"));
    let event = avro(&source(SourceFormat::Avro), &headers, r#"{"n":1}"#, "x.Y").events.remove(0);
    assert_eq!((event.event_type.as_str(), event.content_type.as_str()), ("order.created", "application/json"));
    let refused = avro(&source(SourceFormat::CloudEvents), &[], "{}", "x.Y").rejections.remove(0);
    assert!(refused.message.contains("not a CloudEvent"), "{refused:?}");
}
