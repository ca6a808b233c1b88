//! What comes of an event.

use super::*;
use crate::{
    ErrorClass,
    delivery::{Header, Method},
    envelope::MAX_BODY_BYTES,
};

const DATA: &str = r#"{"id": 7, "total": 100.50, "big": 9007199254740993, "huge": 1e400, "email": " Ann@Example.COM ",
    "note": null, "vip": true, "a.b": 1, "customer": {"name": "Ann {A}", "tags": ["x", 2]},
    "items": [{"sku": "a", "qty": 1, "lines": [{"n": 1.0}]}, {"sku": "b", "lines": []}], "empty": []}"#;

#[track_caller]
fn check(table: &[(&str, &str)]) {
    for (expression, wanted) in table {
        assert_eq!(body(expression, DATA).as_deref(), Ok(*wanted), "{expression}");
    }
}

#[track_caller]
fn check_refused(table: &[(&str, &str)]) {
    for (expression, wanted) in table {
        let refused = body(expression, DATA).expect_err(expression);
        assert!(refused.starts_with(&format!("mapping/body{wanted}")), "{expression}: {refused}");
    }
}

#[test]
fn constants_are_themselves() {
    check(&[
        ("1.10", "1.10"),
        ("1e400", "1e+400"),
        ("null", "null"),
        (r#""$5""#, r#""$5""#),
        (r#""a\n""#, r#""a\n""#),
        (r#"{"$const": {"$path": ["$.data.id", 1.0]}}"#, r#"{"$path":["$.data.id",1.0]}"#),
        (r"[1, [], {}]", "[1,[],{}]"),
        (r#"{"b": 1, "$$email": 2, "$$$": 3, "a": 4}"#, r#"{"$$":3,"$email":2,"a":4,"b":1}"#),
    ]);
}

#[test]
fn fields_keep_their_digits_and_their_nesting() {
    check(&[
        (r#""$.data.total""#, "100.50"),
        (r#"["$.data.big", "$.data.huge"]"#, "[9007199254740993,1e+400]"),
        (r#"{"$path": "data.customer"}"#, r#"{"name":"Ann {A}","tags":["x",2]}"#),
        (r#""$.data.items.0.lines""#, r#"[{"n":1.0}]"#),
        (r#"{"$path": "/data/a.b"}"#, "1"),
        (r#"["$.type", "$.id", "$.source", "$.tenant"]"#, r#"["order.updated","evt-1","orders","ten_1"]"#),
        (r#""$.time""#, r#""2023-11-14T22:13:20.000Z""#),
        (r#""$.previous.status""#, r#""open""#),
    ]);
}

#[test]
fn an_event_without_an_id_of_its_producer_has_the_one_that_is_ours() {
    let anonymous = Event { producer_id: None, ..event("{}") };
    let mapping = parsed(r#"{"body": ["$.id", {"$text": "{id}"}], "headers": {"X-Id": "$.id"}}"#);
    let mapped = mapping.render(&EventView::new(&anonymous)).unwrap();
    assert_eq!(&*mapped.body.unwrap(), br#"["id,6:orders,-,1:1","id,6:orders,-,1:1"]"#);
    assert_eq!(mapped.headers[0].value, "id,6:orders,-,1:1");
}

/// The table of the module's page.
#[test]
fn a_field_that_is_not_there_is_treated_as_it_was_declared() {
    check(&[
        (r#""$.data.note""#, "null"),
        (r#"{"$path": "data.note"}"#, "null"),
        (r#"{"$path": "data.id", "$default": 1}"#, "7"),
        (r#"{"$path": "data.note", "$default": 1.0}"#, "1.0"),
        (r#"{"$path": "data.missing", "$default": {"a": []}}"#, r#"{"a":[]}"#),
        (r#"{"$path": "subject", "$default": null}"#, "null"),
        (r#"{"$path": "data.missing", "$default": "Ann", "$format": "lowercase"}"#, r#""Ann""#),
        (r#"{"a": {"$path": "data.id", "$optional": true}}"#, r#"{"a":7}"#),
        (
            r#"{"a": {"$path": "data.note", "$optional": true}, "b": {"$path": "data.missing", "$optional": true}, "c": 1}"#,
            r#"{"c":1}"#,
        ),
        (r#"[{"$path": "data.missing", "$optional": true}, 1, {"$path": "data.note", "$optional": true}, 2]"#, "[1,2]"),
        (r#"{"a": {"$path": "data.missing", "$optional": true}}"#, "{}"),
        (r#"{"$text": "{data.id}|{data.note?}|{data.missing?}|{data.total?}"}"#, r#""7|||100.50""#),
    ]);
    check_refused(&[
        (r#""$.data.missing""#, ": 'data.missing' is missing"),
        (r#"{"a": ["$.subject"]}"#, "/a/0: 'subject' is missing"),
        (r#"{"a/b": "$.data.email.x"}"#, "/a~1b: 'data.email.x' is missing"),
        (r#"{"$path": "data.note", "$format": "string"}"#, ": 'data.note' is null"),
        (r#"{"$$x": {"$path": "data.missing", "$format": "string"}}"#, "/$$x: 'data.missing' is missing"),
        (r#"{"$path": "data.items", "$format": "string"}"#, ": 'data.items' is a list that the format 'string'"),
        (r#"[{"$path": "data.email", "$format": "number", "$optional": true}]"#, "/0: 'data.email' is text that the"),
        (r#"{"a": {"$text": "{data.missing}"}}"#, "/a/$text: 'data.missing' is missing"),
        (r#"{"$text": "{data.note}"}"#, "/$text: 'data.note' is null"),
        (r#"{"$text": "{data.items?}"}"#, "/$text: 'data.items' is a list, where text"),
    ]);
}

#[test]
fn formats_are_applied() {
    check(&[
        (
            r#"{"$path": "data.email", "$format": "sha256"}"#,
            r#""71d4f55f72fa128dfb468a1a3901507c804b74316488744d769d7f4b16696476""#,
        ),
        (r#"{"$path": "data.total", "$format": "string"}"#, r#""100.50""#),
        (r#"{"$path": "time", "$format": "unix_seconds"}"#, "1700000000"),
        (r#"{"$path": "data.customer.tags", "$format": {"join": ", "}}"#, r#""x, 2""#),
    ]);
}

#[test]
fn text_has_fields_and_braces_in_it() {
    check(&[
        (r#"{"$text": "Order {data.id} for {data.customer.name}: {data.vip}"}"#, r#""Order 7 for Ann {A}: true""#),
        (r#"{"$text": "{{{data.id}}}"}"#, r#""{7}""#),
        (r#"{"$text": "{{data.id}}"}"#, r#""{data.id}""#),
        (r#"{"$text": "{/data/a.b}{type}"}"#, r#""1order.updated""#),
        (r#"{"$text": ""}"#, r#""""#),
    ]);
}

#[test]
fn lists_are_gone_through() {
    check(&[
        (
            r#"{"$each": "data.items", "$do": {"id": "$.item.sku", "qty": {"$path": "item.qty", "$default": 0}, "of": "$.data.id"}}"#,
            r#"[{"id":"a","of":7,"qty":1},{"id":"b","of":7,"qty":0}]"#,
        ),
        (r#"{"$each": "data.items", "$do": {"$path": "item.qty", "$optional": true}}"#, "[1]"),
        (r#"{"$each": "data.items", "$do": {"$each": "item.lines", "$do": "$.item.n"}}"#, "[[1.0],[]]"),
        (r#"{"$each": "data.customer.tags", "$do": {"$text": "<{item}>"}}"#, r#"["<x>","<2>"]"#),
        (r#"{"$each": "data.empty", "$do": "$.item.x"}"#, "[]"),
        (r#"{"a": {"$each": "data.missing", "$do": 1, "$optional": true}}"#, "{}"),
        (r#"{"a": {"$each": "data.note", "$do": 1, "$optional": true}}"#, "{}"),
    ]);
    check_refused(&[
        (r#"{"$each": "data.items", "$do": {"q": "$.item.qty"}}"#, "/$do/q: 'data.items.1.qty' is missing"),
        (
            r#"{"$each": "data.items", "$do": {"$each": "item.lines", "$do": {"$text": "{item.x}"}}}"#,
            "/$do/$do/$text: 'data.items.0.lines.0.x' is missing",
        ),
        (r#"{"$each": "data.missing", "$do": 1}"#, "/$each: 'data.missing' is missing"),
        (r#"{"$each": "data.note", "$do": 1}"#, "/$each: 'data.note' is null"),
        (r#"{"$each": "data.customer", "$do": 1}"#, "/$each: 'data.customer' is an object, where '$each' wants"),
        (r#"{"a": {"$each": "type", "$do": 1, "$optional": true}}"#, "/a/$each: 'type' is text"),
    ]);
}

#[test]
fn the_rest_of_the_request_is_of_the_same_expressions() {
    let mapping = r#"{"headers": {"X-Order": "$.data.id", "X-Vip": {"$path": "data.vip"}, "X-Note": {"$path": "data.note", "$optional": true},
        "X-Api": {"$text": "v{data.total}"}}, "path": ["contacts", {"$path": "data.email", "$format": "lowercase"},
        {"$path": "data.missing", "$optional": true}, 2], "method": "PUT"}"#;
    let mapped = rendered(mapping, &DATA.replace(" Ann@Example.COM ", "Ann@Example.COM")).unwrap();
    let header = |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
    assert_eq!(mapped.headers, [header("x-api", "v100.50"), header("x-order", "7"), header("x-vip", "true")]);
    assert_eq!(mapped.path.as_deref(), Some("contacts/ann%40example.com/2"));
    assert_eq!((mapped.body, mapped.method), (None, Some(Method::Put)));
}

#[test]
fn what_can_not_be_a_header_or_a_part_of_a_path_is_refused_with_its_field() {
    let table = [
        (r#"{"headers": {"X-A": "$.data.x"}}"#, r#""a\r\nx-b: c""#, "mapping/headers/X-A: 'data.x' can't be sent"),
        (r#"{"headers": {"X-A": "$.data.x"}}"#, r#""é""#, "mapping/headers/X-A: 'data.x' can't be sent"),
        (r#"{"headers": {"X-A": "$.data.x"}}"#, "null", "mapping/headers/X-A: 'data.x' is null"),
        (r#"{"headers": {"X-A": "$.data.x"}}"#, "[1]", "mapping/headers/X-A: 'data.x' is a list"),
        (r#"{"headers": {"X-A": {"$text": "{data.x}"}}}"#, r#""a\n""#, "mapping/headers/X-A: it can't be sent"),
        (r#"{"path": ["a", "$.data.x"]}"#, r#""..""#, "mapping/path/1: 'data.x' can't be a part"),
        (r#"{"path": ["a", "$.data.x"]}"#, r#""%2e%2E""#, "mapping/path/1: 'data.x' can't be a part"),
        (r#"{"path": ["a", "$.data.x"]}"#, r#""""#, "mapping/path/1: 'data.x' can't be a part"),
        (r#"{"path": ["$.data.x"]}"#, r#"{"a": 1}"#, "mapping/path/0: 'data.x' is an object"),
        (r#"{"path": ["$.data.missing"]}"#, "1", "mapping/path/0: 'data.missing' is missing"),
    ];
    for (mapping, x, wanted) in table {
        let error = rendered(mapping, &format!(r#"{{"x": {x}}}"#)).unwrap_err();
        assert!(error.to_string().starts_with(wanted), "{mapping} {x}: {error}");
        assert_eq!(error.class(), ErrorClass::MappingFailed);
    }
}

#[test]
fn an_error_names_its_place_its_field_and_what_is_wrong() {
    let error = rendered(r#"{"body": {"who": "$.data.name"}}"#, "{}").unwrap_err();
    let wanted = MappingError { at: "/body/who".into(), path: Some("data.name".into()), why: MappingProblem::Missing };
    assert_eq!(error, wanted);
}

#[test]
fn data_that_are_not_json_have_no_fields() {
    let text = Event { content_type: "text/plain".into(), ..event("{}") };
    let error = parsed(r#"{"body": "$.data"}"#).render(&EventView::new(&text)).unwrap_err();
    assert_eq!(error.why, MappingProblem::Missing);
}

#[test]
fn the_largest_body_and_the_longest_list_are_exact() {
    let text = |bytes: usize| format!(r#"{{"x": "{}"}}"#, "a".repeat(bytes - 2));
    assert_eq!(body(r#""$.data.x""#, &text(MAX_BODY_BYTES)).map(|body| body.len()), Ok(MAX_BODY_BYTES));
    let error = rendered(r#"{"body": {"y": "$.data.x"}}"#, &text(MAX_BODY_BYTES)).unwrap_err();
    assert_eq!((error.class(), error.at.as_str()), (ErrorClass::PayloadTooLarge, "/body/y"));
    let list = |elements: usize| format!(r#"{{"x": [{}]}}"#, vec!["1"; elements].join(","));
    let each = r#"{"$each": "data.x", "$do": "$.item"}"#;
    assert!(body(each, &list(MAX_ELEMENTS)).is_ok());
    assert!(body(each, &list(MAX_ELEMENTS + 1)).unwrap_err().contains("has 1001 elements"));
}

/// Lists within lists that come to nothing, and long texts that are read over and over.
#[test]
fn work_is_limited_where_the_output_is_not_large() {
    let list = format!(r#"{{"x": [{}], "t": "{}"}}"#, vec!["1"; MAX_ELEMENTS].join(","), "a".repeat(500_000));
    let nothing = r#"{"$path": "data.missing", "$optional": true}"#;
    let nested = (0..5).fold(nothing.to_owned(), |inner, _| format!(r#"{{"$each": "data.x", "$do": {inner}}}"#));
    let hashed = format!("[{}]", vec![r#"{"$path": "data.t", "$format": "sha256"}"#; 100].join(","));
    let composed = format!(r#"{{"$text": "{}"}}"#, "{data.t}".repeat(100));
    let looked = format!(r#"{{"$each": "data.x", "$do": {{"$text": "{}"}}}}"#, "{data.n?}".repeat(1_000));
    for expression in [nested, hashed, composed, looked] {
        assert!(body(&expression, &list).unwrap_err().contains("too much work"), "{expression}");
    }
    let join = |separator: &str| format!(r#"{{"$path": "data.x", "$format": {{"join": "{separator}"}}}}"#);
    assert!(body(&join(&"s".repeat(60_000)), &list).unwrap_err().contains("too much work"));
    assert!(body(&join("s"), &list).is_ok());
}
