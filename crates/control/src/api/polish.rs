//! The OpenAPI document as generators of clients and linters like it: what poem-openapi can't say itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{idempotency, ordered_json::Node};

const SCHEMAS: &str = "#/components/schemas/";

/// Makes a generated document better.
pub(super) fn polish(document: &str) -> String {
    let mut document: Node = serde_json::from_str(document).expect("the generator writes JSON");
    if document.get("servers").is_none_or(|servers| servers.items().is_empty()) {
        document.set("servers", Node::List(vec![Node::object([("url", Node::text("/"))])]));
    }
    plain_media_types(&mut document);
    null_where_it_is_answered(&mut document);
    let mut shared = BTreeMap::new();
    for (path, operation) in operations(&mut document) {
        let changes = operation.get("x-method").and_then(Node::as_str) != Some("get");
        if let Node::Object(members) = operation {
            members.retain(|(name, _)| name != "x-method");
        }
        if operation.get("security").is_none() {
            operation.set("security", Node::List(Vec::new()));
        } else if changes && path.starts_with("/v1/") {
            take_idempotency_key(operation);
        }
        exemplify_path(&path, operation);
        share_parameters(operation, &mut shared);
    }
    let parameters = Node::Object(shared.into_iter().collect());
    if let Some(components) = document.get_mut("components") {
        components.set("parameters", parameters);
    }
    serde_json::to_string_pretty(&document).expect("it was JSON")
}

/// Every operation, with its path; for as long as this module works on it, `x-method` has its method.
fn operations(document: &mut Node) -> Vec<(String, &mut Node)> {
    let Some(paths) = document.get_mut("paths") else { return Vec::new() };
    let mut operations = Vec::new();
    for (path, methods) in paths.members_mut() {
        for (method, operation) in methods.members_mut() {
            operation.set("x-method", Node::text(method));
            operations.push((path.clone(), operation));
        }
    }
    operations
}

/// `application/json` alone: its encoding is UTF-8 by definition, and generators look for this name.
fn plain_media_types(node: &mut Node) {
    match node {
        Node::Object(members) => {
            for (name, value) in members {
                if name.starts_with("application/") && name.ends_with("; charset=utf-8") {
                    name.truncate(name.len() - "; charset=utf-8".len());
                }
                plain_media_types(value);
            }
        }
        Node::List(items) => items.iter_mut().for_each(plain_media_types),
        Node::Plain(_) => {}
    }
}

/// Answers have every member, `null` where there is no value: such members are nullable in the schemas of answers.
fn null_where_it_is_answered(document: &mut Node) {
    let Some(schemas) = document.get("components").and_then(|components| components.get("schemas")) else { return };
    let answered = answered(document, schemas);
    let types: BTreeMap<String, String> = schemas
        .members()
        .iter()
        .filter_map(|(name, schema)| Some((name.clone(), schema.get("type")?.as_str()?.to_owned())))
        .collect();
    let Some(schemas) = document.get_mut("components").and_then(|it| it.get_mut("schemas")) else { return };
    for (name, schema) in schemas.members_mut() {
        if answered.contains(name) {
            optional_members_nullable(schema, &types);
            for part in schema.get_mut("allOf").into_iter().flat_map(Node::items_mut) {
                optional_members_nullable(part, &types);
            }
        }
    }
}

fn optional_members_nullable(schema: &mut Node, types: &BTreeMap<String, String>) {
    let required: BTreeSet<String> = schema
        .get("required")
        .into_iter()
        .flat_map(Node::items)
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    for (name, property) in schema.get_mut("properties").into_iter().flat_map(Node::members_mut) {
        if !required.contains(name) {
            make_nullable(property, types);
        }
    }
}

/// Makes a schema take `null`, which OpenAPI 3.0 allows beside a `type` only: of a schema that is referred to, it is
/// one of two.
fn make_nullable(schema: &mut Node, types: &BTreeMap<String, String>) {
    let parts = if schema.get("$ref").is_some() {
        vec![std::mem::replace(schema, Node::Object(Vec::new()))]
    } else {
        schema.get("allOf").map_or(&[][..], Node::items).to_vec()
    };
    let referenced = parts.iter().find_map(|part| part.get("$ref").and_then(Node::as_str));
    let kind = referenced.and_then(|reference| types.get(reference.trim_start_matches(SCHEMAS)));
    let null = |kind: Node| {
        let enumeration = Node::List(vec![Node::Plain(Value::Null)]);
        Node::object([("type", kind), ("nullable", Node::Plain(Value::Bool(true))), ("enum", enumeration)])
    };
    if let Some(reference) = referenced {
        let kind = Node::text(kind.map_or("object", String::as_str));
        if let Node::Object(members) = schema {
            members.retain(|(name, _)| name != "allOf");
        }
        for (name, value) in parts.iter().filter(|part| part.get("$ref").is_none()).flat_map(Node::members) {
            schema.set(name, value.clone());
        }
        schema.set("anyOf", Node::List(vec![Node::reference(reference), null(kind)]));
    } else if schema.get("type").is_some() {
        schema.set("nullable", Node::Plain(Value::Bool(true)));
        if let Some(Node::List(values)) = schema.get_mut("enum") {
            values.push(Node::Plain(Value::Null));
        }
    }
}

/// The names of the schemas that answers have, directly or within others.
fn answered(document: &Node, schemas: &Node) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = Vec::new();
    for (_, methods) in document.get("paths").map_or(&[][..], Node::members) {
        for (_, operation) in methods.members() {
            references(operation.get("responses"), &mut open);
        }
    }
    while let Some(name) = open.pop() {
        if found.insert(name.clone()) {
            references(schemas.get(&name), &mut open);
        }
    }
    found
}

fn references(node: Option<&Node>, found: &mut Vec<String>) {
    let Some(node) = node else { return };
    if let Some(name) = node.get("$ref").and_then(Node::as_str).and_then(|text| text.strip_prefix(SCHEMAS)) {
        found.push(name.to_owned());
    }
    node.members().iter().for_each(|(_, value)| references(Some(value), found));
    node.items().iter().for_each(|item| references(Some(item), found));
}

fn take_idempotency_key(operation: &mut Node) {
    let description = "Any text of your choice, such as a UUID. A request that is repeated with it within 24 hours is \
                       not executed again: it is answered as the first time, with `Idempotency-Replayed: true`, and \
                       without what is shown once only.";
    let schema = Node::object([
        ("type", Node::text("string")),
        ("minLength", Node::Plain(1.into())),
        ("maxLength", Node::Plain(255.into())),
    ]);
    let parameter = Node::object([
        ("name", Node::text(idempotency::HEADER)),
        ("schema", schema),
        ("in", Node::text("header")),
        ("description", Node::text(description)),
        ("required", Node::Plain(Value::Bool(false))),
        ("example", Node::text("9f1c2e7a-5b1d-4c52-8a43-6f0d2f6b8a10")),
    ]);
    match operation.get_mut("parameters") {
        Some(Node::List(parameters)) => parameters.push(parameter),
        _ => operation.set("parameters", Node::List(vec![parameter])),
    }
}

/// Examples of what stands in paths, by what stands before it. Optional parameters have none: a page that tries
/// requests would send them.
const IN_PATHS: [(&str, &str); 13] = [
    ("tenants", "ten_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("public-keys", "ten_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("{tenant_id}", "ep_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("api-keys", "key_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("endpoints", "ep_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("secrets", "sec_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("subscriptions", "sub_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("templates", "hubspot"),
    ("event-types", "ety_01jd2x9vq3m7k8n5p4r6s0t1w2"),
    ("events", "evt_ord_1042_created"),
    ("deliveries", "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z"),
    ("dead-letters", "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z"),
    ("replays", "job_01jd2x9vq3m7k8n5p4r6s0t1w2"),
];

/// Gives what stands in an operation's path an example.
fn exemplify_path(path: &str, operation: &mut Node) {
    let segments: Vec<&str> = path.split('/').collect();
    for parameter in operation.get_mut("parameters").into_iter().flat_map(Node::items_mut) {
        if parameter.get("in").and_then(Node::as_str) != Some("path") {
            continue;
        }
        let placeholder = format!("{{{}}}", parameter.get("name").and_then(Node::as_str).unwrap_or_default());
        let before = segments.windows(2).find(|pair| pair[1] == placeholder).map(|pair| pair[0]);
        if let Some((_, example)) = IN_PATHS.iter().find(|(segment, _)| Some(*segment) == before) {
            parameter.set("example", Node::text(example));
        }
    }
}

/// Describes what many operations take once, under a name.
fn share_parameters(operation: &mut Node, shared: &mut BTreeMap<String, Node>) {
    for parameter in operation.get_mut("parameters").into_iter().flat_map(Node::items_mut) {
        let name = match parameter.get("name").and_then(Node::as_str) {
            Some("Postrider-Tenant") => "Tenant",
            Some(idempotency::HEADER) => "IdempotencyKey",
            Some("cursor") => "Cursor",
            Some("limit") => "Limit",
            Some("If-Match") => "IfMatch",
            _ => continue,
        };
        let known = shared.entry(name.to_owned()).or_insert_with(|| parameter.clone());
        if known == parameter {
            *parameter = Node::reference(&format!("#/components/parameters/{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn polished(document: &Value) -> Value {
        serde_json::from_str(&polish(&document.to_string())).unwrap()
    }

    #[test]
    fn members_that_may_be_null_in_answers_say_so() {
        let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let polished = polished(&json!({
            "paths": {"/v1/a": {"get": {"responses": {"200": {"content": {"x": {"schema": schema("Answer")}}}}}}},
            "components": {"schemas": {
                "Answer": {"type": "object", "required": ["id"], "properties": {
                    "id": {"type": "string"}, "note": {"type": "string", "enum": ["a"]},
                    "inner": schema("Inner"), "any": {},
                }},
                "Inner": {"type": "object", "properties": {"n": {"type": "integer"}}},
                "Input": {"type": "object", "properties": {"n": {"type": "integer"}}},
            }},
        }));
        let schemas = &polished["components"]["schemas"];
        assert_eq!(schemas["Answer"]["properties"]["id"], json!({"type": "string"}));
        let note = json!({"type": "string", "enum": ["a", null], "nullable": true});
        assert_eq!(schemas["Answer"]["properties"]["note"], note);
        let inner = json!({"anyOf": [schema("Inner"), {"type": "object", "nullable": true, "enum": [null]}]});
        assert_eq!(schemas["Answer"]["properties"]["inner"], inner);
        assert_eq!(schemas["Answer"]["properties"]["any"], json!({}));
        assert_eq!(schemas["Inner"]["properties"]["n"]["nullable"], true);
        assert_eq!(schemas["Input"]["properties"]["n"], json!({"type": "integer"}), "what is sent stays as it is");
    }

    #[test]
    fn what_stands_in_a_path_has_an_example_and_what_may_be_left_out_has_none() {
        let parameter = |name: &str, place: &str| json!({"name": name, "in": place});
        let parameters = json!([parameter("id", "path"), parameter("secret_id", "path"), parameter("run", "query")]);
        let polished = polished(&json!({
            "paths": {"/v1/endpoints/{id}/secrets/{secret_id}": {"get": {"parameters": parameters}}},
            "components": {},
        }));
        let parameters = &polished["paths"]["/v1/endpoints/{id}/secrets/{secret_id}"]["get"]["parameters"];
        assert_eq!(parameters[0]["example"], "ep_01jd2x9vq3m7k8n5p4r6s0t1w2");
        assert_eq!(parameters[1]["example"], "sec_01jd2x9vq3m7k8n5p4r6s0t1w2");
        assert_eq!(parameters[2]["example"], Value::Null);
    }

    #[test]
    fn what_changes_something_takes_an_idempotency_key_described_once() {
        let security = json!([{"apiKey": []}]);
        let limit = |text: &str| json!({"name": "limit", "in": "query", "description": text});
        let polished = polished(&json!({
            "paths": {
                "/v1/a": {
                    "get": {"security": security, "parameters": [limit("how many"), {"name": "own", "in": "query"}]},
                    "post": {"security": security, "parameters": [limit("another")]},
                },
                "/healthz": {"get": {}},
            },
            "components": {},
        }));
        let reference = |name: &str| json!({"$ref": format!("#/components/parameters/{name}")});
        let a = &polished["paths"]["/v1/a"];
        assert_eq!(a["get"]["parameters"], json!([reference("Limit"), {"name": "own", "in": "query"}]));
        assert_eq!(a["post"]["parameters"], json!([limit("another"), reference("IdempotencyKey")]));
        assert_eq!(polished["components"]["parameters"]["IdempotencyKey"]["in"], "header");
        assert_eq!(polished["paths"]["/healthz"]["get"], json!({"security": []}));
        assert_eq!(polished["servers"], json!([{"url": "/"}]));
    }
}
