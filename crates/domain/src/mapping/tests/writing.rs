//! What can be written as a mapping, and what is said of what can't.

use serde_json::json;

use super::*;

#[track_caller]
fn refused(json: &Value, wanted: &str) {
    let message = Mapping::from_json(json).expect_err(wanted).to_string();
    assert!(message.starts_with(&format!("mapping{wanted}")), "{json}: {message}");
}

#[test]
fn json_round_trips_to_the_last_digit() {
    let text = r#"{"body":{"$$email":"$.data.email","a":[1.10000000000000000000000001,null,true,"$5"],"b":{"$const":{"$x":[1e+400]}},"c":{"$default":1.0,"$format":"number","$path":"/data/a~1b"},"d":{"$do":{"$format":{"join":""},"$optional":true,"$path":"item.tags"},"$each":"data.items"},"e":{"$text":"{{{data.x?}}}"},"f":{"$path":"data.x"},"g":{"$do":1,"$each":"data","$optional":true}},"headers":{"X-A":"$.type"},"method":"PATCH","path":["a",1]}"#;
    let mapping = parsed(text);
    assert_eq!(serde_json::to_string(&mapping).unwrap(), text);
    assert_eq!(Mapping::from_json(&mapping.to_json()).unwrap(), mapping);
}

#[test]
fn a_mapping_takes_no_room_where_there_is_none() {
    assert_eq!(size_of::<Option<Mapping>>(), size_of::<usize>());
}

#[test]
fn a_refusal_names_the_place_and_the_fix() {
    let table = [
        (json!([]), ": not an object"),
        (json!({}), ": empty: give 'body'"),
        (json!({"boddy": 1}), "/boddy: unexpected beside 'body', 'headers', 'path', 'method': remove it"),
        (json!({"body": "$.total"}), "/body: unknown field 'total': begin it with 'data.'"),
        (json!({"body": "$.data..x"}), "/body: 'data..x' has an empty segment"),
        (json!({"body": {"a/b": ["$.x"]}}), "/body/a~1b/0: unknown field 'x'"),
        (json!({"body": {"$path": 1}}), "/body/$path: not a text"),
        (json!({"body": {"$path": "$.data.x"}}), "/body/$path: '$.data.x' is a path already: write it without '$.'"),
        (json!({"body": {"$path": "item.x"}}), "/body/$path: 'item' is an element of a list"),
        (json!({"body": "$.item"}), "/body: 'item' is an element of a list"),
        (json!({"body": {"$path": "data", "x": 1}}), "/body/x: unexpected beside '$path'"),
        (json!({"body": {"$path": "data", "$optional": 1}}), "/body/$optional: not true or false"),
        (json!({"body": {"$path": "data", "$optional": true}}), "/body/$optional: the body can't be left out"),
        (
            json!({"body": [{"$path": "data", "$optional": true, "$default": 1}]}),
            "/body/0/$optional: a field with a default is never left out",
        ),
        (json!({"body": {"$path": "data", "$format": "date"}}), "/body/$format: unknown format: use one of string,"),
        (json!({"body": {"$path": "data", "$format": {"join": 1}}}), "/body/$format: unknown format"),
        (json!({"body": {"$const": 1, "x": 1}}), "/body/x: unexpected beside '$const'"),
        (json!({"body": {"$default": 1}}), "/body/$default: '$default' goes with '$path'"),
        (json!({"body": {"$do": 1}}), "/body/$do: '$do' goes with '$each'"),
        (
            json!({"body": {"$email": 1}}),
            "/body/$email: unknown '$email': use $path, $const, $text or $each; for a member of that name write '$$email'",
        ),
        (json!({"body": {"$each": "data.x"}}), "/body: '$do' is missing"),
        (json!({"body": {"$each": "data.x", "$do": {"$path": "x"}}}), "/body/$do/$path: unknown field 'x'"),
        (json!({"body": {"$text": 1}}), "/body/$text: not a text"),
        (json!({"body": {"$text": "a {data.x"}}), "/body/$text: a brace without its other half at byte 3"),
        (json!({"body": {"$text": "}"}}), "/body/$text: a brace without its other half at byte 1"),
        (json!({"body": {"$text": "{x}"}}), "/body/$text: unknown field 'x'"),
        (json!({"body": {"$text": "{{data.x}"}}), "/body/$text: a brace without its other half at byte 9"),
        (json!({"headers": {}}), "/headers: not an object with 1 to 32 headers"),
        (json!({"headers": {"Host": "x"}}), "/headers/Host: can't be sent: the header 'Host' is set by Postrider"),
        (json!({"headers": {"webhook-id": "x"}}), "/headers/webhook-id: can't be sent: the header"),
        (json!({"headers": {"a b": "x"}}), "/headers/a b: can't be sent:"),
        (json!({"headers": {"X-A": "1", "x-a": "2"}}), "/headers/x-a: the same header in another spelling"),
        (json!({"headers": {"X-A": "a\r\nb: c"}}), "/headers/X-A: can't be sent: the value"),
        (json!({"headers": {"X-A": null}}), "/headers/X-A: only text, a number or a boolean"),
        (json!({"headers": {"X-A": ["$.type"]}}), "/headers/X-A: only text, a number or a boolean"),
        (json!({"headers": {"X-A": {"$each": "data", "$do": 1}}}), "/headers/X-A: only text"),
        (json!({"headers": {"X-A": {"$path": "data.x", "$default": null}}}), "/headers/X-A: only text"),
        (json!({"path": []}), "/path: not a list with 1 to 16 parts"),
        (json!({"path": ["a", ".."]}), "/path/1: can't be a part of a path"),
        (json!({"path": ["a/b"]}), "/path/0: a '/' in a part is escaped: give each part"),
        (json!({"path": [{"$path": "data.x", "$default": "%2e"}]}), "/path/0: can't be a part of a path"),
        (json!({"method": "GET"}), "/method: unknown method: use POST, PUT or PATCH"),
        (json!({"method": null}), "/method: unknown method"),
    ];
    for (json, wanted) in table {
        refused(&json, wanted);
    }
}

#[test]
fn the_limits_are_exact() {
    assert!(Mapping::from_json(&json!({"body": nested(MAX_DEPTH)})).is_ok());
    let deepest = format!("/body{}: nested more than 32 deep", "/0".repeat(MAX_DEPTH));
    refused(&json!({"body": nested(MAX_DEPTH + 1)}), &deepest);
    assert!(Mapping::from_json(&json!({"body": {"$const": nested(MAX_DEPTH)}})).is_ok());
    refused(&json!({"body": {"$const": nested(MAX_DEPTH + 1)}}), "/body/$const: nested more than 32 deep");
    let many = |count: usize| json!({"body": vec![1; count]});
    assert!(Mapping::from_json(&many(MAX_EXPRESSIONS - 1)).is_ok());
    refused(&many(MAX_EXPRESSIONS), "/body/1023: more than 1024 expressions");
    let long = |bytes: usize| json!({"body": "x".repeat(bytes - r#"{"body":""}"#.len())});
    assert!(Mapping::from_json(&long(MAX_MAPPING_BYTES)).is_ok());
    refused(&long(MAX_MAPPING_BYTES + 1), ": over 65536 bytes");
    let headers = |count: usize| json!({"headers": (0..count).map(|n| (format!("X-{n}"), Value::from(n))).collect::<serde_json::Map<_, _>>()});
    assert!(Mapping::from_json(&headers(MAX_HEADERS)).is_ok());
    refused(&headers(MAX_HEADERS + 1), "/headers: not an object with 1 to 32");
    assert!(Mapping::from_json(&json!({"path": vec!["a"; MAX_PATH_PARTS]})).is_ok());
    refused(&json!({"path": vec!["a"; MAX_PATH_PARTS + 1]}), "/path: not a list with 1 to 16");
}
