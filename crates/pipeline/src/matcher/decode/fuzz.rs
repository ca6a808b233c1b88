//! No bytes make the decoder panic, and what it takes for an event is one.

use std::ops::Range;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::matcher::{FieldFrom, Fields, Pointer};

const TENANT: &str = "ten_01hzzzzzzzzzzzzzzzzzzzzzzz";

/// Pieces that JSON, and what is meant by it, are made of.
const PIECES: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\"",
    "\\",
    "null",
    "true",
    "-",
    "0",
    "1e999999",
    "\"type\":",
    "\"data\":",
    "\"specversion\":\"1.0\"",
    "\"id\":",
    "\"tenant\":\"ten_01hzzzzzzzzzzzzzzzzzzzzzzz\"",
    "\"timestamp\":",
    "\"time\":",
    "\"previous\":",
    "\"data_base64\":",
    "\"a.b\"",
    "\"a\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"é\"",
    "\"datacontenttype\":",
    "\"AAE=\"",
    "\"subject\":",
    "\u{0}",
    "\u{feff}",
    "9223372036854775808",
];

fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    vec(0..PIECES.len(), 0..60).prop_map(|pieces| pieces.into_iter().map(|it| PIECES[it]).collect::<String>().into())
}

fn a_record() -> impl Strategy<Value = Vec<u8>> {
    const DATA: Range<usize> = 0..PIECES.len();
    vec(DATA, 0..12).prop_map(|pieces| {
        let data: String = pieces.into_iter().map(|it| PIECES[it]).collect();
        format!(r#"{{"type":"a.b","tenant":"{TENANT}","data":{data},"previous":{data}}}"#).into_bytes()
    })
}

fn deep() -> impl Strategy<Value = Vec<u8>> {
    (1..100_000_usize, prop::sample::select(vec!["[", "{\"a\":", "[{\"data\":"])).prop_map(|(depth, open)| {
        format!(r#"{{"type":"a","tenant":"{TENANT}","data":{}"#, open.repeat(depth / open.len())).into_bytes()
    })
}

fn deep_and_closed() -> impl Strategy<Value = Vec<u8>> {
    (1..200_000_usize).prop_map(|depth| {
        format!(r#"{{"type":"a","tenant":"{TENANT}","data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)).into_bytes()
    })
}

fn huge_number() -> impl Strategy<Value = Vec<u8>> {
    (1..100_000_usize, any::<bool>()).prop_map(|(digits, exponent)| {
        let number = if exponent { format!("1e{}", "9".repeat(digits)) } else { "9".repeat(digits) };
        format!(r#"{{"type":"a","tenant":"{TENANT}","timestamp":{number},"id":{number},"data":{number}}}"#).into_bytes()
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..300),
        4 => nearly_json(),
        4 => a_record(),
        1 => deep(),
        1 => deep_and_closed(),
        1 => huge_number(),
        1 => vec(prop_oneof![nearly_json(), a_record()], 0..5).prop_map(|events| {
            let events: Vec<String> = events.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect();
            format!("[{}]", events.join(",")).into_bytes()
        }),
    ]
}

fn place() -> impl Strategy<Value = Option<FieldFrom>> {
    let pointers = ["", "/data", "/id", "/data/0/a", "/previous", "/timestamp", "/0/data", "/"];
    let pointer = prop::sample::select(pointers.to_vec());
    prop_oneof![
        3 => Just(None),
        2 => pointer.prop_map(|text| Some(FieldFrom::Pointer(text.parse::<Pointer>().expect("it is one")))),
        1 => Just(Some(FieldFrom::Header("h".to_owned()))),
        1 => Just(Some(FieldFrom::Key)),
        1 => Just(Some(FieldFrom::Timestamp)),
    ]
}

fn source() -> impl Strategy<Value = SourceConfig> {
    let formats = [SourceFormat::Auto, SourceFormat::Json, SourceFormat::CloudEvents, SourceFormat::Avro];
    let places = (place(), place(), place(), place(), place(), place());
    (prop::sample::select(formats.to_vec()), places).prop_map(|(format, places)| {
        let (id, time, subject, ordering_key, previous, payload) = places;
        let fields = Fields { id, time, subject, ordering_key, previous, payload, ..Fields::default() };
        let tenant = Some(TENANT.parse().expect("it is one"));
        SourceConfig { format, fields, tenant, ..SourceConfig::new("s", "t") }
    })
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let names = ["ce_specversion", "ce_type", "ce_id", "ce_time", "content-type", "type", "tenant", "h", "traceparent"];
    let values = ["1.0", "a.b", "2026-01-31T12:00:00Z", "application/cloudevents+json", "text/plain", "{}", "1e9", ""];
    let value = prop_oneof![
        prop::sample::select(values.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..40),
    ];
    vec((prop::sample::select(names.to_vec()), value), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_record_has_is_an_event_or_rejected(
        source in source(),
        value in value(),
        key in proptest::option::of(vec(any::<u8>(), 0..20)),
        header_values in headers(),
        as_avro in any::<bool>(),
    ) {
        let mut headers = Headers::new();
        for (name, value) in header_values {
            headers.push(name, value);
        }
        let value = Bytes::from(value);
        let record = Record {
            topic: "t".into(),
            partition: 0,
            offset: 1,
            timestamp: Timestamp::from_millis(5),
            key: key.map(Bytes::from),
            value: Some(value.clone()),
            headers,
        };
        let decoded = if as_avro && is_valid_json(&value) {
            decode_avro(&source, &record, &AvroJson { json: value.clone(), name: "x.Y".to_owned() })
        } else {
            decode(&source, &record)
        };
        prop_assert!(decoded.events.len() + decoded.rejections.len() <= 1_000);
        for event in decoded.events {
            prop_assert!(validate_event_type(&event.event_type).is_ok());
            prop_assert!(event.data.is_empty() || !is_json_content_type(&event.content_type) || is_valid_json(&event.data));
            prop_assert!(event.previous.is_none_or(|previous| is_valid_json(&previous)));
            let _ = event.time.to_rfc3339();
        }
        for rejection in decoded.rejections {
            prop_assert!(!rejection.message.is_empty() && rejection.message.len() < 2_000);
        }
        let _ = traceparent(&record.headers);
    }
}
