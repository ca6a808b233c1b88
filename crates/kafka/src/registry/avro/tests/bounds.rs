use std::sync::LazyLock;

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Of all kinds, and some that could go on for ever.
const SCHEMAS: &[&str] = &[
    r#""string""#,
    r#"{"type": "array", "items": "null"}"#,
    r#"{"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}"#,
    r#"{"type": "array", "items": {"type": "fixed", "name": "Nothing", "size": 0}}"#,
    r#"{"type": "fixed", "name": "Huge", "size": 1000000000000}"#,
    r#"{"type": "record", "name": "Always", "fields": [{"name": "a", "type": "Always"}]}"#,
    r#"{"type": "record", "name": "Twice", "fields": [{"name": "a", "type": ["null", "Twice"]}, {"name": "b", "type": ["null", "Twice"]}]}"#,
    r#"{"type": "array", "items": {"type": "map", "values": ["null", "int", "string", "bytes"]}}"#,
    r#"{"type": "record", "name": "io.cloudevents.CloudEventData", "fields": [{"name": "value", "type": "CloudEventData"}]}"#,
    include_str!("../../../../../../schemas/cloudevents/cloud_event.avsc"),
    r#"{"type": "record", "name": "Logical", "fields": [
        {"name": "a", "type": {"type": "int", "logicalType": "date"}},
        {"name": "b", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "c", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 7}},
        {"name": "e", "type": {"type": "bytes", "logicalType": "big-decimal"}},
        {"name": "f", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "g", "type": ["float", "double", {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}]}]}"#,
];

static PARSED: LazyLock<Vec<AvroSchema>> =
    LazyLock::new(|| SCHEMAS.iter().map(|schema| AvroSchema::parse(schema, []).unwrap()).collect());

/// What may come out of anything: valid JSON of bounded size, or an error.
fn check(schema: &AvroSchema, datum: &[u8]) {
    if let Ok(json) = to_json(schema, datum) {
        assert!(json.len() <= 2 << 20, "{} bytes", json.len());
        serde_json::from_slice::<IgnoredAny>(&json).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn arbitrary_bytes_become_json_or_an_error(
        schema in 0..SCHEMAS.len(),
        datum in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..200),
    ) {
        check(&PARSED[schema], &datum);
    }

    #[test]
    fn an_arbitrary_schema_is_read_or_refused(
        schema in 0..SCHEMAS.len(),
        at in any::<prop::sample::Index>(),
        with in "[\\PC]{0,3}|\"type\"|\\[|\\{|null|-1|\"Twice\"",
        datum in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut text: Vec<char> = SCHEMAS[schema].chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + 2).min(text.len()), with.chars());
        if let Ok(schema) = AvroSchema::parse(&text.into_iter().collect::<String>(), []) {
            check(&schema, &datum);
        }
    }
}

fn corrupt_because(schema: &str, datum: &[u8], why: &str) {
    let Err(Undecodable::Corrupt(said)) = read(schema, datum) else { panic!("{schema}: {:?}", read(schema, datum)) };
    assert!(said.contains(why), "{schema}: {said}");
}

#[test]
fn what_only_claims_to_be_large_takes_no_memory_and_no_time() {
    corrupt_because(SCHEMAS[0], &long(i64::MAX), "ends early");
    corrupt_because(SCHEMAS[4], &[0; 100], "ends early");
    corrupt_because(SCHEMAS[0], &long(-1), "is no length");
    for elements_of_no_bytes in &SCHEMAS[1..4] {
        let claimed = read(elements_of_no_bytes, &[long(i64::MIN), long(0)].concat());
        assert!(matches!(claimed, Err(Undecodable::TooLarge(_))), "{claimed:?}");
    }
}

#[test]
fn what_nests_without_end_is_corrupt() {
    corrupt_because(SCHEMAS[5], &[], "nests more than 64 deep");
    corrupt_because(SCHEMAS[6], &[2; 1_000], "nests more than 64 deep");
    corrupt_because(SCHEMAS[8], &[], "nests more than 64 deep");
}

#[test]
fn what_is_not_as_its_schema_says_is_corrupt() {
    corrupt_because(r#""int""#, &long(1 << 40), "is no int");
    corrupt_because(r#""long""#, &[0xff; 11], "has no end");
    corrupt_because(r#""boolean""#, &[2], "is no boolean");
    corrupt_because(r#""string""#, &sized([0xff]), "is not UTF-8");
    corrupt_because(r#"["null", "int"]"#, &long(2), "no branch 2");
    corrupt_because(r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, &long(1), "no symbol 1");
    corrupt_because(r#""null""#, &[0], "1 bytes are left over");
}
