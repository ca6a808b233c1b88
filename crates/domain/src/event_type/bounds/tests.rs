use proptest::prelude::*;
use serde_json::json;

use super::*;

fn survey(schema: &Value) -> Result<(), InvalidSchema> {
    check(&JsonText::from(schema)).map(drop)
}

#[test]
fn what_needs_another_document_or_draft_is_refused_with_its_place() {
    let table = [
        (json!({"$ref": "https://example.com/schema.json"}), "/$ref"),
        (json!({"$ref": "file:///etc/passwd"}), "/$ref"),
        (json!({"$ref": "other.json#/a"}), "/$ref"),
        (json!({"$ref": "#name"}), "/$ref"),
        (json!({"$ref": "#/nowhere"}), "/$ref"),
        (json!({"properties": {"a/b": {"$ref": "http://x"}}}), "/properties/a~1b/$ref"),
        (json!({"$defs": {"unused": {"$ref": "http://x"}}}), "/$defs/unused/$ref"),
        (
            json!({"$ref": "#/elsewhere/x", "elsewhere": {"x": {"items": {"$ref": "http://x"}}}}),
            "/elsewhere/x/items/$ref",
        ),
        (json!({"items": {"$id": "http://x"}}), "/items/$id"),
        (json!({"$dynamicRef": "#x"}), "/$dynamicRef"),
        (json!({"$anchor": "x"}), "/$anchor"),
        (json!({"dependencies": {}}), "/dependencies"),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "/$schema"),
        (json!({"properties": {"x": {"format": "regex"}}}), "/properties/x/format"),
    ];
    for (schema, at) in table {
        assert_eq!(survey(&schema).unwrap_err().at, at, "{schema}");
    }
}

#[test]
fn members_and_values_that_only_look_like_keywords_are_fine() {
    let schemas = [
        json!({"properties": {"$ref": {"type": "string"}, "dependencies": {"type": "array"}, "$id": true}}),
        json!({"const": {"$ref": "http://x"}, "enum": [{"$id": "y"}], "default": {"$anchor": "z"}}),
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/order"}),
        json!({"$defs": {"a b": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a%20b"}}}),
    ];
    for schema in schemas {
        assert_eq!(survey(&schema), Ok(()), "{schema}");
    }
}

#[test]
fn recursion_is_fine_along_one_way() {
    let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "all": {"items": {"$ref": "#"}}}});
    let any_json = json!({"$ref": "#/$defs/any", "$defs": {"any": {"anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"$ref": "#/$defs/any"}},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/any"}},
    ]}}});
    let mutual = json!({"$ref": "#/$defs/a", "$defs": {
        "a": {"properties": {"b": {"$ref": "#/$defs/b"}, "other": {"$ref": "#/$defs/b"}}},
        "b": {"items": {"$ref": "#/$defs/a"}},
    }});
    let syntax = json!({"$ref": "#/$defs/statement", "$defs": {
        "statement": {"properties": {"test": {"$ref": "#/$defs/expression"}, "then": {"$ref": "#/$defs/statement"}}},
        "expression": {"properties": {
            "left": {"$ref": "#/$defs/expression"}, "body": {"items": {"$ref": "#/$defs/statement"}}}},
    }});
    for schema in [tree, any_json, mutual, syntax] {
        assert_eq!(survey(&schema), Ok(()), "{schema}");
    }
}

#[test]
fn what_would_double_with_every_level_is_refused() {
    let twice = json!([{"$ref": "#"}, {"$ref": "#"}]);
    let fibonacci = json!({"$ref": "#/$defs/x", "$defs": {
        "x": {"properties": {"a": {"$ref": "#/$defs/y"}}},
        "y": {"items": {"allOf": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}]}},
    }});
    let schemas = [
        json!({"items": {"anyOf": twice}}),
        json!({"allOf": twice}),
        json!({"items": {"$ref": "#"}, "contains": {"$ref": "#"}}),
        json!({"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}}),
        json!({"not": {"properties": {"a": {"$ref": "#"}}}, "properties": {"a": {"$ref": "#"}}}),
        fibonacci,
    ];
    for schema in schemas {
        assert!(survey(&schema).unwrap_err().why.contains("twice as long"), "{schema}");
    }
}

#[test]
fn size_depth_patterns_and_what_references_multiply_are_bounded() {
    let mut doubling = json!({"$ref": "#/$defs/d20", "$defs": {"d0": {"type": "string"}}});
    for level in 1..=20 {
        let below = json!({"$ref": format!("#/$defs/d{}", level - 1)});
        doubling["$defs"][format!("d{level}")] = json!({"properties": {"a": below, "b": below}});
    }
    assert!(survey(&doubling).unwrap_err().why.contains("subschemas"));

    let chain = |length: usize, step: &dyn Fn(String) -> Value| {
        let mut chain = json!({"$ref": format!("#/$defs/d{length}"), "$defs": {"d0": {"type": "string"}}});
        for level in 1..=length {
            chain["$defs"][format!("d{level}")] = step(format!("#/$defs/d{}", level - 1));
        }
        chain
    };
    assert_eq!(survey(&chain(14, &|below| json!({"$ref": below}))), Ok(()));
    assert!(survey(&chain(16, &|below| json!({"$ref": below}))).unwrap_err().why.contains("apply to one value"));
    assert_eq!(survey(&chain(450, &|below| json!({"items": {"$ref": below}}))), Ok(()));
    assert!(survey(&chain(500, &|below| json!({"items": {"$ref": below}}))).unwrap_err().why.contains("500"));
    // Each goes through all that is below each value that the one before is applied to.
    let nested = json!({"$ref": "#/$defs/a", "$defs": {
        "a": {"items": {"$ref": "#/$defs/a"}, "allOf": [{"$ref": "#/$defs/b"}]},
        "b": {"items": {"$ref": "#/$defs/b"}, "allOf": [{"$ref": "#/$defs/c"}]},
        "c": {"items": {"$ref": "#/$defs/c"}},
    }});
    assert!(survey(&nested).unwrap_err().why.contains("in a row"));
    for itself in [json!({"$ref": "#"}), json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}})] {
        assert!(survey(&itself).unwrap_err().why.contains("without going into"), "{itself}");
    }

    let deep = (0..MAX_SCHEMA_DEPTH).fold(json!(true), |schema, _| json!({"not": schema}));
    assert!(survey(&deep).unwrap_err().why.contains("nested"));
    let large = json!({"description": "x".repeat(MAX_JSON_BYTES)});
    assert!(survey(&large).unwrap_err().why.contains("bytes"));
    let patterns: Map<String, Value> = (0..=MAX_PATTERNS).map(|n| (format!("^{n}"), json!(true))).collect();
    assert!(survey(&json!({"patternProperties": patterns})).unwrap_err().why.contains("patterns"));
    for no_object in [json!(true), json!([]), json!("x"), json!(null)] {
        assert!(survey(&no_object).unwrap_err().why.contains("object"));
    }
}

/// The deepest that validation can go, on the stack of a worker.
#[test]
fn the_deepest_recursion_fits_the_stack() {
    let mut schema = json!({"items": {"$ref": "#"}, "properties": {"a": {"$ref": "#"}}, "required": ["x"]});
    for _ in 0..13 {
        schema = json!({"anyOf": [schema]});
    }
    let schema = json!({"anyOf": [{"type": "integer"}, schema]});
    let compiled = super::super::EventSchema::compile(&JsonText::from(&schema)).unwrap();
    let deepest = |by_list: bool| {
        (0..126).fold(json!("x"), |inner, _| if by_list { json!([inner]) } else { json!({"a": inner}) })
    };
    let deepest = [deepest(true), deepest(false)];
    let validate = move || deepest.iter().filter(|data| compiled.violation(data).is_some()).count();
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(validate).unwrap();
    assert_eq!(thread.join().unwrap(), 1);
}

fn any_schema() -> impl Strategy<Value = Value> {
    let reference = prop_oneof![Just("#"), Just("#/$defs/a"), Just("#/$defs/b"), Just("#/items"), Just("#/allOf/0")];
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!({"type": "integer"})),
        Just(json!({"maximum": 1e300})),
        Just(json!({"pattern": "^(a+)+$"})),
        reference.prop_map(|to| json!({"$ref": to})),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|all| json!({"allOf": all})),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|any| json!({"anyOf": any})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"properties": {"a": a, "b": b}})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"items": a, "contains": b})),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"properties": {"a": a}, "additionalProperties": b})),
            (inner.clone(), inner)
                .prop_map(|(a, b)| json!({"$defs": {"a": a, "b": b}, "items": {"$ref": "#/$defs/a"}})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// A schema that is let through answers soon, however deep the data is nested: each level adds, none multiplies.
    #[test]
    fn what_is_let_through_is_cheap_on_deep_data(schema in any_schema(), by_list in any::<bool>()) {
        let deep = (0..120).fold(json!("x"), |inner, _| if by_list { json!([inner]) } else { json!({"a": inner}) });
        if let Ok(compiled) = super::super::EventSchema::compile(&JsonText::from(&schema)) {
            let _ = compiled.violation(&deep);
        }
    }
}
