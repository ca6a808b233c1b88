use serde_json::{Value, json};

use super::*;
use crate::{EventId, SourceCoordinates, TenantId, Timestamp};

const ALL: [BodyStyle; 5] = [
    BodyStyle::Envelope,
    BodyStyle::CloudeventsStructured,
    BodyStyle::CloudeventsBinary,
    BodyStyle::Crm,
    BodyStyle::Raw,
];

fn event(content_type: &str, data: &'static str) -> Event {
    Event {
        id: EventId::from_trusted("id"),
        producer_id: None,
        source: "orders".into(),
        tenant: TenantId::from_trusted("ten_1"),
        event_type: "order.created".into(),
        time: Timestamp::from_millis(1_700_000_000_123),
        subject: None,
        ordering_key: None,
        data: Bytes::from_static(data.as_bytes()),
        previous: None,
        content_type: content_type.into(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
    }
}

fn parsed(event: &Event, style: BodyStyle) -> Value {
    serde_json::from_slice(&render(event, style).body).unwrap()
}

#[test]
fn json_data_is_embedded_byte_for_byte() {
    let data = "{ \"total\": 1.10,\"é\" :1e400 }";
    let event = event("application/json; charset=utf-8", data);
    let table = [
        (
            BodyStyle::Envelope,
            "application/json",
            "{\"type\":\"order.created\",\"timestamp\":\"2023-11-14T22:13:20.123Z\",\"data\":DATA}",
        ),
        (
            BodyStyle::Crm,
            "application/json",
            "{\"id\":\"id\",\"timestamp\":\"2023-11-14T22:13:20.123Z\",\"event\":\"order.created\",\"teamId\":\"ten_1\",\
             \"data\":DATA,\"previousData\":null,\"metadata\":{\"source\":\"orders\",\"subject\":null}}",
        ),
        (
            BodyStyle::CloudeventsStructured,
            "application/cloudevents+json",
            "{\"specversion\":\"1.0\",\"id\":\"id\",\"source\":\"orders\",\"type\":\"order.created\",\
             \"time\":\"2023-11-14T22:13:20.123Z\",\"datacontenttype\":\"application/json; charset=utf-8\",\"data\":DATA}",
        ),
        (BodyStyle::CloudeventsBinary, "application/json; charset=utf-8", "DATA"),
        (BodyStyle::Raw, "application/json; charset=utf-8", "DATA"),
    ];
    for (style, content_type, body) in table {
        let rendered = render(&event, style);
        assert_eq!(rendered.content_type, content_type, "{style:?}");
        assert_eq!(rendered.body, body.replace("DATA", data), "{style:?}");
        assert_eq!(rendered.headers.is_empty(), style != BodyStyle::CloudeventsBinary, "{style:?}");
    }
}

#[test]
fn absent_json_data_is_null_or_absent_and_the_type_is_escaped() {
    let mut event = event("application/json", "");
    event.event_type = "a\"b".into();
    let body = parsed(&event, BodyStyle::Envelope);
    assert_eq!((&body["type"], &body["data"]), (&"a\"b".into(), &Value::Null));
    assert_eq!(parsed(&event, BodyStyle::Crm)["data"], Value::Null);
    let cloudevent = parsed(&event, BodyStyle::CloudeventsStructured);
    assert_eq!((cloudevent.get("data"), cloudevent.get("datacontenttype")), (None, None));
    assert!(render(&event, BodyStyle::Raw).body.is_empty());
}

#[test]
fn other_data_is_sent_as_it_is_and_as_base64_in_a_structured_cloudevent() {
    let event = event("text/plain", "hello");
    let cloudevent = parsed(&event, BodyStyle::CloudeventsStructured);
    assert_eq!(
        (&cloudevent["data_base64"], &cloudevent["datacontenttype"]),
        (&"aGVsbG8=".into(), &"text/plain".into())
    );
    assert_eq!(cloudevent.get("data"), None);
    for style in ALL.into_iter().filter(|style| *style != BodyStyle::CloudeventsStructured) {
        let rendered = render(&event, style);
        assert_eq!((rendered.content_type.as_str(), &rendered.body[..]), ("text/plain", &b"hello"[..]), "{style:?}");
    }
}

#[test]
fn what_the_producer_said_is_passed_on() {
    let mut event = event("application/json", "{}");
    event.producer_id = Some("evt_7".into());
    event.subject = Some("order 7".into());
    event.previous = Some(Bytes::from_static(b"{ \"a\":1 }"));
    let crm = parsed(&event, BodyStyle::Crm);
    assert_eq!((&crm["id"], &crm["previousData"]), (&"evt_7".into(), &json!({"a": 1})));
    assert_eq!(crm["metadata"], json!({"source": "orders", "subject": "order 7"}));
    let cloudevent = parsed(&event, BodyStyle::CloudeventsStructured);
    assert_eq!((&cloudevent["id"], &cloudevent["subject"]), (&"evt_7".into(), &"order 7".into()));
    let binary = render(&event, BodyStyle::CloudeventsBinary);
    let headers: Vec<_> = binary.headers.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
    let wanted = [
        ("ce-specversion", "1.0"),
        ("ce-id", "evt_7"),
        ("ce-source", "orders"),
        ("ce-type", "order.created"),
        ("ce-time", "2023-11-14T22:13:20.123Z"),
        ("ce-subject", "order%207"),
    ];
    assert_eq!(headers, wanted);
}

#[test]
fn json_media_types_are_recognised() {
    for json in ["application/json", "Application/JSON", "text/json;charset=utf-8", "application/vnd.x+json"] {
        assert!(is_json_content_type(json), "{json}");
    }
    for other in ["", "text/plain", "application/jsonl", "+json", "application/xml"] {
        assert!(!is_json_content_type(other), "{other}");
    }
}
