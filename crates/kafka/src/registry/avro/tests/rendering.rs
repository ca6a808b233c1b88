use super::*;

#[test]
fn primitives_become_what_json_has_for_them() {
    let double = |value: f64| value.to_le_bytes().to_vec();
    let float = |value: f32| value.to_le_bytes().to_vec();
    let cases = [
        ("null", vec![], "null"),
        ("boolean", vec![1], "true"),
        ("int", long(-1), "-1"),
        ("long", long(9_007_199_254_740_993), "9007199254740993"),
        ("long", long(i64::MIN), "-9223372036854775808"),
        ("float", float(0.1), "0.1"),
        ("double", double(0.1), "0.1"),
        ("double", double(3.0), "3.0"),
        ("double", double(1e300), "1e+300"),
        ("double", double(f64::NAN), r#""NaN""#),
        ("float", float(f32::INFINITY), r#""Infinity""#),
        ("double", double(f64::NEG_INFINITY), r#""-Infinity""#),
        ("bytes", sized([0, 0xff, 0x10]), r#""AP8Q""#),
        ("string", sized("é \"\\\n\u{1}\u{7f}"), "\"é \\\"\\\\\\n\\u0001\u{7f}\""),
    ];
    for (schema, datum, json) in cases {
        assert_eq!(read(&format!("\"{schema}\""), &datum).as_deref(), Ok(json), "{schema}");
        let object = format!(r#"{{"type": "{schema}", "logicalType": "no such", "x": 1}}"#);
        assert_eq!(read(&object, &datum).as_deref(), Ok(json), "{object}");
    }
}

#[test]
fn complex_types_become_lists_and_objects() {
    let fixed = r#"{"type": "fixed", "name": "F", "size": 2}"#;
    assert_eq!(read(fixed, &[1, 2]).as_deref(), Ok(r#""AQI=""#));
    let suit = r#"{"type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"]}"#;
    assert_eq!(read(suit, &long(1)).as_deref(), Ok(r#""SPADES""#));
    let longs = r#"{"type": "array", "items": "long"}"#;
    // Two blocks, the second with its size in bytes.
    let datum = [long(2), long(1), long(2), long(-1), long(1), long(3), long(0)].concat();
    assert_eq!(read(longs, &datum).as_deref(), Ok("[1,2,3]"));
    assert_eq!(read(longs, &[0]).as_deref(), Ok("[]"));
    let map = r#"{"type": "map", "values": ["null", "string"]}"#;
    let datum = [long(2), sized("a"), long(1), sized("x"), sized("b\""), long(0), long(0)].concat();
    assert_eq!(read(map, &datum).as_deref(), Ok(r#"{"a":"x","b\"":null}"#));
    let record = r#"{"type": "record", "name": "R", "fields": [
        {"name": "id", "type": "long"},
        {"name": "inner", "type": {"type": "record", "name": "I", "fields": []}},
        {"name": "maybe", "type": ["null", "I", "double"], "default": null}]}"#;
    assert_eq!(read(record, &[long(7), long(1)].concat()).as_deref(), Ok(r#"{"id":7,"inner":{},"maybe":{}}"#));
}

/// A type with a logical type.
fn logical(kind: &str, name: &str, more: &str) -> String {
    format!(r#"{{"type": "{kind}", "logicalType": "{name}"{more}}}"#)
}

#[test]
fn moments_become_texts_and_numbers_where_no_text_can_say_them() {
    // 2026-01-31T12:34:56.789Z
    let millis = 1_769_862_896_789;
    let cases = [
        (logical("int", "date", ""), 20_484, r#""2026-01-31""#),
        (logical("int", "date", ""), -1, r#""1969-12-31""#),
        (logical("int", "date", ""), 2_147_483_647, "2147483647"),
        (logical("int", "time-millis", ""), 45_296_789, r#""12:34:56.789""#),
        (logical("int", "time-millis", ""), 86_400_000, "86400000"),
        (logical("int", "time-millis", ""), -1, "-1"),
        (logical("long", "time-micros", ""), 45_296_789_012, r#""12:34:56.789012""#),
        (logical("long", "timestamp-millis", ""), millis, r#""2026-01-31T12:34:56.789Z""#),
        (logical("long", "timestamp-millis", ""), -1, r#""1969-12-31T23:59:59.999Z""#),
        (logical("long", "timestamp-millis", ""), i64::MAX, "9223372036854775807"),
        (logical("long", "timestamp-micros", ""), millis * 1_000, r#""2026-01-31T12:34:56.789000Z""#),
        (logical("long", "timestamp-nanos", ""), millis * 1_000_000 + 1, r#""2026-01-31T12:34:56.789000001Z""#),
        (logical("long", "local-timestamp-millis", ""), millis, r#""2026-01-31T12:34:56.789""#),
        // On the wrong type they mean nothing.
        (logical("long", "date", ""), 20_484, "20484"),
        (logical("int", "timestamp-millis", ""), 5, "5"),
    ];
    for (schema, number, json) in cases {
        assert_eq!(read(&schema, &long(number)).as_deref(), Ok(json), "{schema}");
    }
}

#[test]
fn decimals_keep_all_their_digits() {
    let scaled = |precision: u32, scale: i64| {
        logical("bytes", "decimal", &format!(r#", "precision": {precision}, "scale": {scale}"#))
    };
    let huge = [0x7f; 32];
    let cases: [(String, &[u8], &str); 9] = [
        (scaled(4, 2), &[0x04, 0xce], "12.30"),
        (scaled(4, 2), &[0xff], "-0.01"),
        (scaled(4, 4), &[0x05], "0.0005"),
        (scaled(4, 0), &[0xff, 0x85], "-123"),
        (scaled(4, 2), &[], "0.00"),
        (logical("bytes", "decimal", r#", "precision": 4"#), &[0x7b], "123"),
        (scaled(80, 20), &huge, "576690013064280659560530003768759384210403453040641240510.23973211784186134399"),
        // Malformed: the bytes as they are.
        (scaled(2, 4), &[0x05], r#""BQ==""#),
        (scaled(4, -2), &[0x05], r#""BQ==""#),
    ];
    for (schema, bytes, json) in cases {
        assert_eq!(read(&schema, &sized(bytes)).as_deref(), Ok(json), "{schema}");
    }
    let fixed =
        r#"{"type": "fixed", "name": "Money", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 2}"#;
    assert_eq!(read(fixed, &[0, 0, 0x04, 0xce]).as_deref(), Ok("12.30"));
    let big = logical("bytes", "big-decimal", "");
    for (unscaled, scale, json) in [(123, 1, "12.3"), (123, -2, "12300"), (0, -2, "0")] {
        let datum = sized([sized([unscaled]), long(scale)].concat());
        assert_eq!(read(&big, &datum).as_deref(), Ok(json));
    }
    assert!(matches!(read(&scaled(4_000, 2), &sized([1; 600])), Err(Undecodable::Corrupt(_))));
    assert!(matches!(read(&big, &sized([sized([1]), long(1 << 40)].concat())), Err(Undecodable::Corrupt(_))));
}

#[test]
fn uuids_and_durations_become_texts() {
    let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
    assert_eq!(read(&logical("string", "uuid", ""), &sized(text)), Ok(format!("\"{text}\"")));
    let bytes: Vec<u8> = (0..16).map(|index| index * 16).collect();
    let fixed = r#"{"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}"#;
    assert_eq!(read(fixed, &bytes).as_deref(), Ok(r#""00102030-4050-6070-8090-a0b0c0d0e0f0""#));
    let duration = r#"{"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}"#;
    for (months, days, millis, json) in
        [(1u32, 2u32, 3_004u32, "P1M2DT3.004S"), (0, 0, 0, "PT0S"), (0, 5, 0, "P5D"), (0, 0, 60_000, "PT60S")]
    {
        let datum = [months.to_le_bytes(), days.to_le_bytes(), millis.to_le_bytes()].concat();
        assert_eq!(read(duration, &datum), Ok(format!("\"{json}\"")));
    }
}

#[test]
fn a_cloudevent_becomes_a_structured_event_in_json() {
    let schema = include_str!("../../../../../../schemas/cloudevents/cloud_event.avsc");
    let text = |name: &str, value: &str| [sized(name), long(3), sized(value)].concat();
    let attributes = [
        long(4),
        text("id", "1"),
        [sized("gone"), long(0)].concat(),
        [sized("attempt"), long(2), long(3)].concat(),
        [sized("urgent"), long(1), vec![1]].concat(),
        long(0),
    ];
    let attributes = attributes.concat();
    let head = r#"{"id":"1","attempt":3,"urgent":true"#;
    let map = |entries: &[Vec<u8>]| [long(i64::try_from(entries.len()).unwrap()), entries.concat(), long(0)].concat();
    // A list of an object: in this format, objects in lists are records around maps.
    let object = map(&[[sized("sku"), long(5), sized("a")].concat()]);
    let cases = [
        ([long(0), sized("{}")].concat(), r#","data_base64":"e30=""#),
        (long(1), ""),
        ([long(2), vec![0]].concat(), r#","data":false"#),
        (
            [long(3), map(&[[sized("n"), long(3), 1.5f64.to_le_bytes().to_vec()].concat()])].concat(),
            r#","data":{"n":1.5}"#,
        ),
        ([long(4), map(&[object])].concat(), r#","data":[{"sku":"a"}]"#),
        ([long(6), sized("text")].concat(), r#","data":"text""#),
    ];
    for (data, json) in cases {
        let datum = [attributes.clone(), data].concat();
        assert_eq!(read(schema, &datum), Ok(format!("{head}{json}}}")));
    }
    assert_eq!(read(schema, &[long(0), long(1)].concat()).as_deref(), Ok("{}"));
}
