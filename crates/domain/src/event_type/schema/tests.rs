use serde_json::json;

use super::*;

fn compile(schema: &Value) -> Result<EventSchema, InvalidSchema> {
    EventSchema::compile(&JsonText::from(schema))
}

fn violation(schema: &Value, data: &str) -> Option<Violation> {
    compile(schema).unwrap().violation(&serde_json::from_str(data).unwrap())
}

#[test]
fn what_does_not_fit_is_named_by_both_places_and_shows_no_data() {
    let schema = json!({
        "type": "object",
        "required": ["lines"],
        "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}},
        "$defs": {"line": {"type": "object", "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{3}-\\d+$"}}}},
    });
    assert_eq!(violation(&schema, r#"{"lines": [{"sku": "ABC-1"}]}"#), None);
    let found = violation(&schema, r#"{"lines": [{"sku": "ABC-1"}, {"sku": "s3cret"}]}"#).unwrap();
    assert_eq!(found.at, "/lines/1/sku");
    assert!(found.schema_at.ends_with("/sku/pattern"), "{found}");
    assert!(!found.to_string().contains("s3cret"), "{found}");
    let twice = violation(&json!({"properties": {"a": {"uniqueItems": true}}}), r#"{"a": ["s3cret", "s3cret"]}"#);
    let twice = twice.unwrap();
    assert_eq!((twice.at.as_str(), twice.schema_at.as_str()), ("/a", "/properties/a/uniqueItems"));
    assert!(!twice.message.contains("s3cret"), "{twice}");
    let missing = violation(&schema, "{}").unwrap();
    assert_eq!((missing.at.as_str(), missing.schema_at.as_str()), ("", "/required"));
    assert!(missing.message.contains("lines"));
}

#[test]
fn keywords_are_those_of_2020_12() {
    let tuple = json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false});
    let unique = json!({"uniqueItems": true});
    let closed = json!({"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false});
    let table = [
        (&tuple, r#"["a", 1]"#, true),
        (&tuple, r#"["a", 1, 2]"#, false),
        (&unique, "[1, 2]", true),
        (&unique, "[1, 1.0]", false),
        (&json!({"uniqueItems": false}), "[1, 1]", true),
        (&closed, r#"{"a": 1}"#, true),
        (&closed, r#"{"b": 1}"#, false),
    ];
    for (schema, data, fits) in table {
        assert_eq!(violation(schema, data).is_none(), fits, "{schema} {data}");
    }
}

#[test]
fn known_formats_are_checked() {
    for (format, good, bad) in [
        ("date-time", "2026-01-31T12:00:00Z", "yesterday"),
        ("email", "ann@example.com", "ann"),
        ("uuid", "3f0c4f4e-6a0e-4a1e-9d0e-0c1b2a3d4e5f", "3f0c"),
        ("uri", "https://example.com/a", "a b"),
        ("unheard-of", "x", ""),
    ] {
        let schema = json!({"format": format});
        assert_eq!(violation(&schema, &json!(good).to_string()), None, "{format}");
        assert_eq!(violation(&schema, &json!(bad).to_string()).is_none(), format == "unheard-of", "{format}");
    }
}

#[test]
fn patterns_that_would_backtrack_or_blow_up_are_refused() {
    for pattern in ["(?=a)b", r"(a)\1", "(?<!a)b", "(((a{100}){100}){100}){100}", "("] {
        let error = compile(&json!({"properties": {"x": {"pattern": pattern}}})).map(drop).unwrap_err();
        assert_eq!(error.at, "/properties/x/pattern", "{pattern}: {error}");
        assert!(compile(&json!({"patternProperties": {pattern: true}})).is_err(), "{pattern}");
    }
}

#[test]
fn a_schema_that_is_none_is_refused_with_its_place() {
    for (schema, at) in [
        (json!({"type": "text"}), "/type"),
        (json!({"properties": {"a": 1}}), "/properties/a"),
        (json!({"required": "a"}), "/required"),
        (json!({"minimum": "1"}), "/minimum"),
        (json!({"items": [true]}), "/items"),
    ] {
        assert_eq!(compile(&schema).map(drop).unwrap_err().at, at, "{schema}");
    }
}

#[test]
fn numbers_are_compared_exactly_and_huge_ones_cost_nothing() {
    let schema = json!({"maximum": serde_json::from_str::<Value>("9007199254740993").unwrap()});
    assert_eq!(violation(&schema, "9007199254740993"), None);
    assert!(violation(&schema, "9007199254740994").is_some());
    assert!(violation(&schema, "9007199254740993.0000001").is_some());
    for huge in ["1e999999999", "-1e999999999", "1e-999999999", &"9".repeat(500_000)] {
        for schema in [
            json!({"maximum": 1}),
            json!({"multipleOf": 0.1}),
            json!({"type": "integer"}),
            json!({"const": 1}),
            json!({"enum": [1, "a"]}),
            json!({"uniqueItems": true}),
        ] {
            let data = if schema.get("uniqueItems").is_some() { format!("[{huge},{huge}]") } else { huge.to_owned() };
            let _ = violation(&schema, &data);
        }
    }
    assert_eq!(violation(&json!({"maximum": 1}), "-1e999999999"), None);
    assert!(violation(&json!({"maximum": 1}), "1e999999999").is_some());
}

/// Each would take from seconds to hours if elements that share a hash were compared each with each, or numbers with
/// all their digits.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is about the time that passes")]
fn data_made_to_be_slow_is_answered_soon() {
    let list = |length: usize, element: &dyn Fn(usize) -> String| {
        format!("[{}]", (0..length).map(element).collect::<Vec<_>>().join(","))
    };
    let unique = compile(&json!({"uniqueItems": true})).unwrap();
    let numbers = compile(&json!({"items": {"type": "integer", "multipleOf": 0.1, "enum": [1, 2.5]}})).unwrap();
    let started = std::time::Instant::now();
    for elements in [
        list(30_000, &|n| format!("1.0000000000000000000{n:06}")),
        list(9_000, &|n| format!("1{n}e400")),
        list(30_000, &|n| format!("10000000000000000000000{n:06}")),
        list(12_000, &|n| format!("{{\"a\": [1.00000000000000000000{n:06}]}}")),
        list(4_096, &|n| format!("[{}[]]", (0..12).map(|bit| ["[[]],", "[],"][n >> bit & 1]).collect::<String>())),
    ] {
        let data = serde_json::from_str(&elements).unwrap();
        if elements.contains('e') {
            assert!(unique.violation(&data).unwrap().message.contains("digits"));
        } else {
            assert_eq!(unique.violation(&data), None, "{elements:.60}");
        }
    }
    for number in ["3e-300", "3e-3000", "3e3000", "0.00000000000000000000000000000000000000000000000001"] {
        let data = serde_json::from_str(&list(100_000, &|_| number.to_owned())).unwrap();
        assert!(numbers.violation(&data).unwrap().message.contains("digits"), "{number}");
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn what_is_told_is_bounded() {
    let names: Vec<String> = (0..2_000).map(|n| format!("member-{n}")).collect();
    let data: serde_json::Map<String, Value> = names.iter().map(|name| (name.clone(), json!(1))).collect();
    let found = compile(&json!({"additionalProperties": false})).unwrap().violation(&Value::Object(data)).unwrap();
    assert!(found.message.chars().count() <= MAX_MESSAGE_CHARACTERS + 1);
    let long = format!(r#"{{"{}": 1}}"#, "é".repeat(5_000));
    let found = violation(&json!({"additionalProperties": {"type": "string"}}), &long).unwrap();
    assert!(found.at.chars().count() <= MAX_PLACE_CHARACTERS + 1);
}

#[test]
fn alternatives_are_told_apart_for_data_of_a_usual_size_only() {
    let required: Vec<Value> = (0..200).map(|n| json!({"required": [format!("m{n}")]})).collect();
    let schema = compile(&json!({"properties": {"x": {"anyOf": required}}})).unwrap();
    let usual = schema.violation(&json!({"x": {"a": 1}})).unwrap();
    assert_eq!((usual.at.as_str(), usual.schema_at.as_str()), ("/x", "/properties/x/anyOf"));
    let large = schema.violation(&json!({"x": {"a": vec![0; 500_000]}})).unwrap();
    assert!(large.message.contains("anyOf"), "{large}");
}
