use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::{TenantId, Timestamp, egress::EgressPolicy};

fn template(json: Value) -> Result<Template, InvalidTemplate> {
    Template::new(serde_json::from_value(json).expect("it has a template's form"))
}

fn parameter(name: &str, example: &str) -> Value {
    json!({"name": name, "description": "What it is.", "example": example})
}

/// A template with parameters in every place.
fn everywhere() -> Value {
    json!({
        "name": "Everywhere",
        "parameters": [
            parameter("host", "hooks.example.com:8443"),
            parameter("path", "a"),
            {"name": "key", "description": "The key.", "secret": true, "example": "k", "pattern": "[!-~]+"},
            parameter("user", "u"),
            parameter("list", "l"),
            {"name": "region", "description": "The region.", "example": "eu", "default": "us"},
        ],
        "url": "https://{{host}}/hooks/{{path}}?region={{region}}&key={{key}}",
        "method": "PUT",
        "auth": {"basic": {"username": "{{user}}", "password": "{{key}}"}},
        "headers": {"X-Key": "v1 {{key}}"},
        "event_types": ["order.*"],
        "mapping": {
            "path": ["$.data.id"],
            "headers": {"x-list": {"$parameter": "list"}},
            "body": {"list": {"$parameter": "list"}, "verbatim": {"$const": {"$parameter": "list"}}, "id": "$.data.id"}
        }
    })
}

/// What stands at a pointer that `expected` and `found` differ at.
fn differences(at: &str, expected: &Value, found: &Value, to: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let side =
                    |members: &serde_json::Map<String, Value>| members.get(key).cloned().unwrap_or("<nothing>".into());
                differences(&format!("{at}/{key}"), &side(left), &side(right), to);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{at}/{index}"), left, right, to);
            }
        }
        (left, right) if left == right => {}
        (left, right) => to.push(format!("  {at}\n    expected {left}\n    rendered {right}")),
    }
}

fn as_json(request: &RenderedRequest) -> Value {
    let headers: BTreeMap<&str, &str> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    json!({
        "method": request.method.as_str(),
        "url": request.url.reveal(),
        "headers": headers,
        "body": serde_json::from_slice::<Value>(&request.body).expect("the body is JSON"),
    })
}

#[test]
fn every_built_in_renders_its_expected_request() {
    let mut problems = Vec::new();
    for BuiltIn { id, template } in built_ins() {
        let document = template.document();
        let sample = document.sample.as_ref().unwrap_or_else(|| panic!("{id} has no sample"));
        let expected = serde_json::to_value(sample.request.as_ref().expect("a request is expected")).unwrap();
        let instance = template.instantiate(&template.examples()).unwrap_or_else(|error| panic!("{id}: {error}"));
        let event = sample.event.event(TenantId::from_trusted("ten_1"), Timestamp::EPOCH);
        let request = instance.request(&event).unwrap_or_else(|error| panic!("{id}: {error}"));
        let mut found = Vec::new();
        differences("", &expected, &as_json(&request), &mut found);
        if !found.is_empty() {
            problems.push(format!("schemas/templates/{id}.json renders another request:\n{}", found.join("\n")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_built_in_can_be_used_and_cites_its_platform() {
    for BuiltIn { id, template } in built_ins() {
        let document = template.document();
        assert!(document.documentation.is_some() && !document.description.is_empty(), "{id}");
        let sample = &document.sample.as_ref().expect("a sample").event;
        assert!(template.event_types().iter().any(|pattern| pattern.matches(&sample.event_type)), "{id}");
        let instance = template.instantiate(&template.examples()).expect("its examples are values");
        EgressPolicy::default().check_url(instance.url.reveal()).unwrap_or_else(|error| panic!("{id}: {error}"));
        let shown = format!("{instance:?}");
        for parameter in document.parameters.iter().filter(|parameter| parameter.secret) {
            assert!(!shown.contains(&parameter.example), "{id} shows its {}: {shown}", parameter.name);
        }
    }
}

#[test]
fn values_are_escaped_for_where_they_go() {
    let template = template(everywhere()).expect("it is valid");
    let given = BTreeMap::from([
        ("host", "10.1.2.3:99"),
        ("path", "a/../b?c#d%2e é"),
        ("key", "k&x=\"1\"/:@"),
        ("user", "ann"),
        ("list", "\"}, $.data.id {{x}}"),
    ]);
    let instance = template.instantiate(&given).expect("the values are allowed");
    assert_eq!(
        instance.url.reveal(),
        "https://10.1.2.3:99/hooks/a%2F..%2Fb%3Fc%23d%252e%20%C3%A9?region=us&key=k%26x%3D%221%22%2F%3A%40"
    );
    assert_eq!(instance.url.shown().rsplit_once('?').expect("a query").1, "region=us&key=********");
    let headers: Vec<_> = instance.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("Authorization", "Basic YW5uOmsmeD0iMSIvOkA="), ("X-Key", "v1 k&x=\"1\"/:@")]);
    let event = SampleEvent {
        id: None,
        event_type: "order.created".to_owned(),
        time: None,
        source: None,
        subject: None,
        data: json!({"id": 7}),
        previous: None,
    };
    let refused = instance.request(&event.event(TenantId::from_trusted("ten_1"), Timestamp::EPOCH));
    let request = refused.expect("the event has what is mapped");
    assert_eq!((request.method.as_str(), request.headers["x-list"].reveal()), ("PUT", "\"}, $.data.id {{x}}"));
    assert!(request.url.reveal().contains("%C3%A9/7?region=us"), "{}", request.url.reveal());
    assert!(request.url.shown().contains("%C3%A9/7?region=us&key=********"), "{}", request.url.shown());
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({"list": "\"}, $.data.id {{x}}", "verbatim": {"$parameter": "list"}, "id": 7}));
}

#[test]
fn a_parameter_that_cant_be_used_is_named_and_its_value_is_not_shown() {
    let template = template(everywhere()).expect("it is valid");
    let long = "x".repeat(MAX_PARAMETER_BYTES + 1);
    let cases = [
        ("host", None, "missing: What it is."),
        ("region", Some(""), "empty"),
        ("colour", Some("s3cret"), "it has: host, path, key, user, list, region"),
        ("key", Some("s3cret s3cret"), "has to match '[!-~]+', as 'k' does"),
        ("host", Some("s3cret.example/evil"), "part of the host"),
        ("host", Some("user@s3cret.example"), "part of the host"),
        ("host", Some("s3cret:"), "part of the host"),
        ("path", Some(".."), "leads elsewhere"),
        ("path", Some("s3cret\r\nx: y"), "control characters"),
        ("path", Some(" s3cret"), "spaces at its ends"),
        ("path", Some(&long), "bytes"),
        ("user", Some("s3cret:x"), "no ':'"),
        ("list", Some("s3crét"), "/mapping/headers/x-list"),
    ];
    for (name, value, words) in cases {
        let mut given = template.examples();
        given.remove(name);
        given.extend(value.map(|value| (name, value)));
        let error = template.instantiate(&given).expect_err(name);
        assert_eq!(error.parameter(), name);
        let message = error.to_string();
        assert!(message.contains(words) && !message.contains("s3cr"), "{name}: {message}");
    }
}

#[test]
fn a_whole_url_is_a_parameter_and_is_shown_by_its_origin() {
    let slack = &built_in("slack").expect("it comes with Postrider").template;
    let shown = |url| slack.instantiate(&BTreeMap::from([("webhook_url", url)])).map(|it| it.url.shown().to_owned());
    assert_eq!(shown("https://hooks.slack.com/services/T1/B1/s3cret").unwrap(), "https://hooks.slack.com/********");
    for other in ["https://evil.example/?https://hooks.slack.com/services/T1/B1/x", "hooks.slack.com", "https://"] {
        assert_eq!(shown(other).expect_err(other).parameter(), "webhook_url");
    }
    let any = template(json!({
        "name": "Any", "parameters": [parameter("url", "https://example.com")], "url": "{{url}}", "event_types": ["*"]
    }));
    for bad in ["ftp://example.com", "https://u:p@example.com", "https://example.com/#x", "https://a/../b", "nonsense"]
    {
        assert!(any.clone().unwrap().instantiate(&BTreeMap::from([("url", bad)])).is_err(), "{bad}");
    }
    assert_eq!(any.unwrap().host_parameter(), Some("url"));
}

#[test]
fn what_is_wrong_with_a_template_is_named_by_its_place() {
    let edit = |pointer: &str, value: Value| {
        let mut json = everywhere();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = json.pointer_mut(parent).expect("the parent is there");
        match parent {
            Value::Array(list) => list[key.parse::<usize>().expect("an index")] = value,
            other => other[key.replace("~1", "/")] = value,
        }
        json
    };
    let cases = [
        ("/name", json!(" "), "/name"),
        ("/documentation", json!("javascript:x"), "/documentation"),
        ("/parameters/0/name", json!("Host"), "/parameters/0/name"),
        ("/parameters/1/name", json!("host"), "/parameters/1/name"),
        ("/parameters/1/description", json!(""), "/parameters/1/description"),
        ("/parameters/1/pattern", json!("a)|(b"), "/parameters/1/pattern"),
        ("/parameters/1/pattern", json!("b"), "/parameters/1/example"),
        ("/parameters/1/example", json!(".."), "/parameters/1/example"),
        ("/parameters/2/default", json!("k"), "/parameters/2/default"),
        ("/parameters/0/secret", json!(true), "/url"),
        ("/parameters/4/secret", json!(true), "/mapping/body/list"),
        ("/parameters/1", parameter("other", "x"), "/url"),
        ("/url", json!("https://{{host}}/{{path}}?{{region}}{{key"), "/url"),
        ("/url", json!("{{host}}/{{path}}?{{region}}{{key}}"), "/url"),
        ("/url", json!("https://{{host}}/?{{region}}{{key}}"), "/parameters/1"),
        ("/url", json!("https://example.com/#{{path}}"), "/url"),
        ("/auth", json!({"header": {"name": "Host", "value": "x"}}), "/auth/header/name"),
        ("/auth", json!({"bearer": {"token": "{{nobody}}"}}), "/auth/bearer/token"),
        ("/auth", json!({"bearer": {"token": "a\nb"}}), "/auth/bearer/token"),
        ("/auth", json!({"header": {"name": "x-key", "value": "x"}}), "/headers/X-Key"),
        ("/headers", json!({"a/b": "x"}), "/headers/a~1b"),
        ("/signing", json!({"hmac": {"header": "x-key", "encoding": "hex"}}), "/signing/hmac/header"),
        ("/event_types", json!([]), "/event_types"),
        ("/event_types", json!(["order.created", "order*"]), "/event_types/1"),
        ("/mapping/method", json!("PUT"), "/mapping/method"),
        ("/mapping/body/id", json!({"$parameter": 1}), "/mapping/body/id"),
        ("/mapping/body/id", json!({"$parameter": "list", "$default": 1}), "/mapping/body/id"),
        ("/mapping/body/id", json!({"$nonsense": 1}), "/mapping/body/id/$nonsense"),
        ("/sample", json!({"event": {"type": "order created", "data": {}}}), "/sample/event/type"),
        ("/sample", json!({"event": {"type": "order.created", "time": "now", "data": {}}}), "/sample/event/time"),
    ];
    for (pointer, value, at) in cases {
        let error = template(edit(pointer, value.clone())).expect_err(pointer);
        assert!(error.at == at || at.contains('$') && at.starts_with(&error.at), "{pointer} = {value}: {error:?}");
    }
}

proptest! {
    #[test]
    fn a_value_stays_where_it_was_put(path in "[^\\p{Cc}]{1,40}", key in "[^\\p{Cc}]{1,40}") {
        let template = template(json!({
            "name": "Places",
            "parameters": [parameter("path", "a"), parameter("key", "k")],
            "url": "https://example.com/before/{{path}}/after?first=1&key={{key}}&last=2",
            "event_types": ["*"],
        })).expect("it is valid");
        let given = BTreeMap::from([("path", path.as_str()), ("key", key.as_str())]);
        let Ok(instance) = template.instantiate(&given) else { return Ok(()) };
        let url = Url::parse(instance.url.reveal()).expect("it is a URL");
        prop_assert_eq!(url.host_str(), Some("example.com"));
        let segments: Vec<&str> = url.path_segments().expect("it has a path").collect();
        prop_assert_eq!(segments.len(), 3);
        prop_assert_eq!((segments[0], segments[2]), ("before", "after"));
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(&query[1].1, &key);
        prop_assert_eq!(query.len(), 3);
        prop_assert!(url.fragment().is_none());
    }

    #[test]
    fn no_text_panics(url in ".{0,60}", header in ".{0,40}", value in ".{0,40}") {
        let json = json!({
            "name": "x", "parameters": [parameter("a", "b")], "url": url, "headers": {"x-a": header}, "event_types": ["*"]
        });
        if let Ok(template) = template(json) {
            let _ = template.instantiate(&BTreeMap::from([("a", value.as_str())]));
        }
    }
}
