//! Arbitrary mappings and arbitrary events: nothing panics, and what comes of them is bounded.

use proptest::prelude::*;
use serde_json::{Map, Number, json};

use super::*;
use crate::{delivery::Method, envelope::MAX_BODY_BYTES};

/// JSON with the words of mappings in it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any_text(), any_number(), Just(Value::Null), any::<bool>().prop_map(Value::from)];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let key = prop_oneof![
            4 => prop::sample::select(vec![
                "$path", "$default", "$optional", "$format", "$const", "$text", "$each", "$do", "$$x", "$x", "join",
                "body", "headers", "path", "method", "X-A",
            ]).prop_map(str::to_owned),
            1 => ".{0,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(key, inner, 0..5).prop_map(|it| it.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn any_text() -> impl Strategy<Value = Value> {
    let words = vec![
        "$.data.a",
        "$.data",
        "$.item.a",
        "$.type",
        "data.a",
        "data.b.0",
        "item",
        "previous.a",
        "/data/a~1b",
        "{data.a?}",
        "{data.b}",
        "{{",
        "}",
        "..",
        "%2e",
        "lowercase",
        "iso8601",
        "sha256",
        "number",
        "POST",
    ];
    prop_oneof![prop::sample::select(words).prop_map(Value::from), ".{0,8}".prop_map(Value::from)]
}

fn any_number() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,12})?",
    ];
    text.prop_map(|text| serde_json::from_str::<Number>(&text).unwrap().into())
}

/// An expression that can be used.
fn any_expression() -> impl Strategy<Value = Value> {
    let field = || {
        prop::sample::select(vec!["data", "data.a", "data.b", "data.b.0", "data.a.a", "previous.a", "time", "subject"])
    };
    let format = prop_oneof![
        prop::sample::select(vec![
            "string",
            "number",
            "boolean",
            "lowercase",
            "uppercase",
            "iso8601",
            "unix_seconds",
            "unix_milliseconds",
            "unix_microseconds",
            "sha256",
            "uuid"
        ])
        .prop_map(Value::from),
        "[,é ]{0,3}".prop_map(|separator| json!({"join": separator})),
    ];
    let leaf = prop_oneof![
        any_number(),
        "[a-z]{0,4}".prop_map(Value::from),
        field().prop_map(|field| format!("$.{field}").into()),
        (field(), format, any::<bool>()).prop_map(|(path, format, optional)| {
            let fallback = if optional { json!({"$optional": true}) } else { json!({"$default": 1}) };
            let mut look = json!({"$path": path, "$format": format});
            look.as_object_mut().unwrap().extend(fallback.as_object().unwrap().clone());
            look
        }),
        field().prop_map(|field| json!({"$text": format!("<{{{field}?}}>")})),
        Just(json!({"$const": [1, {"$path": 2}]})),
    ];
    leaf.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{1,3}|\\$\\$[a-z]", inner.clone(), 0..4)
                .prop_map(|it| it.into_iter().collect::<Map<_, _>>().into()),
            (prop::sample::select(vec!["data", "data.b", "data.a"]), inner)
                .prop_map(|(list, of_each)| json!({"$each": list, "$do": of_each})),
        ]
    })
}

/// Payloads: bytes of any kind, JSON of any kind, and some that is deep or has huge numbers.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let deep = (1..3_000usize).prop_map(|depth| {
        format!(r#"{{"a": {}1{}, "b": [1e999999999]}}"#, "[".repeat(depth), "]".repeat(depth)).into_bytes()
    });
    let digits =
        (1..20_000usize).prop_map(|digits| format!(r#"{{"a": {}, "b": [-0.0]}}"#, "9".repeat(digits)).into_bytes());
    let json = (any_json(), prop::collection::vec(any_json(), 0..4))
        .prop_map(|(a, b)| json!({"a": a, "b": b}).to_string().into_bytes());
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => deep,
        1 => digits,
        4 => json,
    ]
}

proptest! {
    #[test]
    fn no_json_makes_a_mapping_panic(json in any_json()) {
        for json in [json.clone(), json!({"body": json.clone()}), json!({"headers": {"X-A": json.clone()}, "path": [json]})] {
            let Ok(mapping) = Mapping::from_json(&json) else { continue };
            let again = Mapping::from_json(&mapping.to_json());
            prop_assert_eq!(again.as_ref(), Ok(&mapping));
            prop_assert!(mapping.to_json().to_string().len() <= MAX_MAPPING_BYTES);
        }
    }

    #[test]
    fn no_event_makes_a_rendering_panic_or_grow(
        expression in any_expression(),
        payload in any_payload(),
        previous in any_payload(),
    ) {
        let event = Event { previous: Some(previous.into()), ..event(payload) };
        let view = EventView::new(&event);
        let mut json = json!({"body": expression, "method": "PATCH"});
        let body = Mapping::from_json(&json).or_else(|_| {
            json["body"] = vec![json["body"].take()].into();
            Mapping::from_json(&json)
        });
        let body = body.unwrap();
        match body.render(&view) {
            Ok(mapped) => {
                let body = mapped.body.unwrap();
                prop_assert!(body.len() <= MAX_BODY_BYTES);
                prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok());
                prop_assert_eq!(mapped.method, Some(Method::Patch));
            }
            Err(error) => prop_assert!(error.at.starts_with("/body") && body.to_json().pointer(&error.at).is_some(), "{}", error),
        }
        // The same mapping makes the same of the same event.
        prop_assert_eq!(body.render(&view), body.render(&EventView::new(&event)));
    }

    #[test]
    fn no_event_leads_a_request_astray(payload in any_payload(), x in ".{0,12}|[.%2eE/\\\\]{0,6}") {
        let mapping = parsed(r#"{"headers": {"X-A": {"$path": "data.a"}, "X-B": "$.data.x"}, "path": ["in", "$.data.x"]}"#);
        for event in [event(payload), event(json!({"a": 1, "x": x}).to_string())] {
            let Ok(mapped) = mapping.render(&EventView::new(&event)) else { continue };
            prop_assert!(mapped.headers.iter().all(|header| header.value.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t')));
            let path = mapped.path.unwrap();
            let mut url = url::Url::parse("https://example.com").unwrap();
            url.set_path(&path);
            prop_assert_eq!(url.path().strip_prefix('/'), Some(path.as_str()));
            prop_assert!(path.starts_with("in/"));
        }
    }

    #[test]
    fn mappings_that_are_far_too_deep_are_refused(depth in 33..300usize, as_object in any::<bool>()) {
        let deep = (0..depth).fold(Value::from(1), |inner, _| if as_object { json!({"a": inner}) } else { vec![inner].into() });
        let mappings = [json!({"body": deep.clone()}), json!({"body": {"$const": deep}})];
        prop_assert!(mappings.iter().all(|json| Mapping::from_json(json).is_err()));
    }
}
