//! Event types out of an OpenAPI 3.1 or 3.2 document: its `webhooks`.
//!
//! | of a webhook | is the type's |
//! |---|---|
//! | its key | name |
//! | the operation's first tag | group |
//! | its `description`, else its `summary` | description |
//! | `deprecated` | archived flag |
//! | the schema of the request body's JSON | schema of `data`; `#/components/schemas/…` become `#/$defs/…` |
//! | its `example`, else the first of `examples` there or in the schema | sample |

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Catalogue, EventTypeSpec, InvalidCatalogue, bounds::join};
use crate::{envelope::is_json_content_type, json_text::JsonText};

const COMPONENTS: &str = "#/components/schemas/";
/// Methods of operations, the usual one of a webhook first.
const METHODS: [&str; 4] = ["post", "put", "patch", "get"];

/// Something of the document, and where it is.
#[derive(Debug, Clone)]
struct Place<'a> {
    value: &'a Value,
    at: String,
}

impl<'a> Place<'a> {
    fn get(&self, key: &str) -> Option<Self> {
        Some(Self { value: self.value.get(key)?, at: join(&self.at, key) })
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.value.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// What it refers to, if it is a reference.
    fn resolved(self, document: &'a Value) -> Result<Self, InvalidCatalogue> {
        let Some(reference) = self.text("$ref") else { return Ok(self) };
        let found = reference.strip_prefix('#').and_then(|pointer| Some((pointer, document.pointer(pointer)?)));
        found.map(|(pointer, value)| Self { value, at: pointer.to_owned() }).ok_or_else(|| {
            InvalidCatalogue::new(
                join(&self.at, "$ref"),
                "there is nothing at this place; nothing is fetched from elsewhere",
            )
        })
    }
}

/// Reads the webhooks of a document.
pub(super) fn read(document: &Value) -> Result<Catalogue, InvalidCatalogue> {
    let is_read = |version: &str| version.starts_with("3.1.") || version.starts_with("3.2.");
    if !document["openapi"].as_str().is_some_and(is_read) {
        let why =
            "the document is not of OpenAPI 3.1 or 3.2: earlier ones have no webhooks, and schemas of another kind";
        return Err(InvalidCatalogue::new("/openapi", why));
    }
    let webhooks = document.get("webhooks").and_then(Value::as_object).filter(|webhooks| !webhooks.is_empty());
    let webhooks = webhooks.ok_or_else(|| InvalidCatalogue::new("/webhooks", "the document has no webhooks"))?;
    let mut event_types = Vec::with_capacity(webhooks.len());
    let mut places = Vec::with_capacity(webhooks.len());
    for (name, item) in webhooks {
        let place = Place { value: item, at: join("/webhooks", name) };
        places.push(place.at.clone());
        event_types.push(event_type(document, name, place)?);
    }
    let info = |key: &str| document["info"][key].as_str().unwrap_or_default().to_owned();
    Catalogue { name: info("title"), description: String::new(), event_types }.checked(&places)
}

fn event_type<'a>(document: &'a Value, name: &str, item: Place<'a>) -> Result<EventTypeSpec, InvalidCatalogue> {
    let item = item.resolved(document)?;
    let operation = METHODS.into_iter().find_map(|method| item.get(method));
    let operation = operation.ok_or_else(|| InvalidCatalogue::new(&item.at, "the webhook has no operation"))?;
    let content = match operation.get("requestBody") {
        Some(body) => json_content(&body.resolved(document)?),
        None => None,
    };
    let schema = content.as_ref().and_then(|content| content.get("schema"));
    let sample = content.as_ref().map(|content| sample(document, content)).transpose()?.flatten();
    Ok(EventTypeSpec {
        name: name.to_owned(),
        group: operation.value["tags"][0].as_str().map(str::to_owned),
        description: operation.text("description").or(operation.text("summary")).unwrap_or_default().to_owned(),
        validation: None,
        archived: operation.value["deprecated"].as_bool(),
        schema: schema.map(|schema| own_schema(document, &schema)).transpose()?,
        sample: sample.map(JsonText::from),
    })
}

fn json_content<'a>(body: &Place<'a>) -> Option<Place<'a>> {
    let content = body.get("content")?;
    let media_type = content.value.as_object()?.keys().find(|media_type| is_json_content_type(media_type))?;
    content.get(media_type)
}

fn sample<'a>(document: &'a Value, content: &Place<'a>) -> Result<Option<&'a Value>, InvalidCatalogue> {
    if let Some(example) = content.value.get("example") {
        return Ok(Some(example));
    }
    let first = content.get("examples").and_then(|examples| {
        let name = examples.value.as_object()?.keys().next()?;
        examples.get(name)
    });
    if let Some(first) = first {
        return Ok(first.resolved(document)?.value.get("value"));
    }
    let Some(schema) = content.get("schema") else { return Ok(None) };
    let schema = schema.resolved(document)?.value;
    Ok(schema.get("example").or_else(|| schema.get("examples")?.get(0)))
}

/// The schema with all that it refers to among its `$defs`.
fn own_schema(document: &Value, schema: &Place<'_>) -> Result<JsonText, InvalidCatalogue> {
    let mut wanted = BTreeSet::new();
    let mut own = localised(schema.value, &schema.at, &mut wanted)?;
    if wanted.is_empty() {
        return Ok(JsonText::from(&own));
    }
    let mut taken = Map::new();
    while let Some(name) = wanted.iter().find(|name| !taken.contains_key(*name)).cloned() {
        let at = join("/components/schemas", &name);
        let Some(component) = document.pointer(&at) else {
            let why = format!("the schema refers to '{at}', which is not there");
            return Err(InvalidCatalogue::new(&schema.at, why));
        };
        let component = localised(component, &at, &mut wanted)?;
        taken.insert(name, component);
    }
    let Some(object) = own.as_object_mut() else { return Ok(JsonText::from(&own)) };
    let definitions = object.entry("$defs").or_insert_with(|| Value::Object(Map::new()));
    for (name, component) in taken {
        if definitions.get(&name).is_some() {
            let why = format!("it has a '{name}' of its own, and refers to the component of that name: rename one");
            return Err(InvalidCatalogue::new(join(&schema.at, "$defs"), why));
        }
        if let Some(definitions) = definitions.as_object_mut() {
            definitions.insert(name, component);
        }
    }
    Ok(JsonText::from(&own))
}

/// A schema whose references to components became ones to its `$defs`; `wanted` are the components' names.
fn localised(schema: &Value, at: &str, wanted: &mut BTreeSet<String>) -> Result<Value, InvalidCatalogue> {
    match schema {
        Value::Array(list) => {
            let element = |(index, element)| localised(element, &format!("{at}/{index}"), wanted);
            list.iter().enumerate().map(element).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(object) => {
            let member = |(key, value): (&String, &Value)| {
                let at = join(at, key);
                let value = match value {
                    Value::String(reference) if key == "$ref" => Value::String(renamed(reference, &at, wanted)?),
                    other => localised(other, &at, wanted)?,
                };
                Ok((key.clone(), value))
            };
            object.iter().map(member).collect::<Result<_, _>>().map(Value::Object)
        }
        other => Ok(other.clone()),
    }
}

fn renamed(reference: &str, at: &str, wanted: &mut BTreeSet<String>) -> Result<String, InvalidCatalogue> {
    let Some(rest) = reference.strip_prefix(COMPONENTS) else {
        let why = format!("only references to '{COMPONENTS}…' can be taken along");
        return Err(InvalidCatalogue::new(at, why));
    };
    let name = rest.split('/').next().unwrap_or_default();
    wanted.insert(name.replace("~1", "/").replace("~0", "~"));
    Ok(format!("#/$defs/{rest}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Shop", "version": "1"},
            "webhooks": {
                "order.created": {"post": {
                    "tags": ["Orders"], "summary": "An order was placed",
                    "requestBody": {"content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Order"},
                        "example": {"id": "o-1", "total": {"amount": 5, "currency": "EUR"}, "parts": []},
                    }}},
                }},
                "order.paid": {"$ref": "#/components/pathItems/Paid"},
                "ping": {"post": {"description": "Nothing.", "deprecated": true}},
            },
            "components": {
                "pathItems": {"Paid": {"post": {"requestBody": {"$ref": "#/components/requestBodies/Paid"}}}},
                "requestBodies": {"Paid": {"content": {"application/vnd.shop+json": {
                    "schema": {"type": "object", "properties": {"order": {"$ref": "#/components/schemas/Order"}}},
                    "examples": {"usual": {"value": {"order": {"id": "o-1"}}}},
                }}}},
                "schemas": {
                    "Order": {"type": "object", "required": ["id"], "properties": {
                        "id": {"type": "string"},
                        "total": {"$ref": "#/components/schemas/Money"},
                        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
                    }},
                    "Money": {"type": "object", "properties": {"amount": {"type": "integer"}}},
                    "Unused": {"$ref": "https://example.com/elsewhere"},
                },
            },
        })
    }

    #[test]
    fn webhooks_become_event_types_with_all_that_their_schemas_refer_to() {
        let catalogue = Catalogue::read(&document().to_string()).unwrap();
        assert_eq!(catalogue.name, "Shop");
        let [created, paid, ping] = &catalogue.event_types[..] else { panic!("{catalogue:?}") };
        assert_eq!((created.name.as_str(), created.group()), ("order.created", "Orders"));
        assert_eq!(created.description, "An order was placed");
        let schema = created.schema.as_ref().unwrap().value().unwrap();
        assert_eq!(schema["$ref"], "#/$defs/Order");
        assert_eq!(schema["$defs"]["Order"]["properties"]["total"]["$ref"], "#/$defs/Money");
        assert_eq!(schema["$defs"].as_object().unwrap().len(), 2);
        assert_eq!(created.sample.as_ref().unwrap().value().unwrap()["id"], "o-1");
        assert_eq!(paid.sample.as_ref().unwrap().value().unwrap()["order"]["id"], "o-1");
        assert!(paid.schema.is_some());
        assert!(
            ping.archived == Some(true)
                && created.archived.is_none()
                && ping.schema.is_none()
                && ping.description == "Nothing."
        );
    }

    #[test]
    fn what_cant_be_taken_is_named_by_its_place() {
        let at = |change: &dyn Fn(&mut Value)| {
            let mut document = document();
            change(&mut document);
            Catalogue::read(&document.to_string()).unwrap_err().at
        };
        assert_eq!(at(&|document| document["openapi"] = json!("3.0.3")), "/openapi");
        assert_eq!(at(&|document| document["openapi"] = json!("3.10.0")), "/openapi");
        assert_eq!(at(&|document| document["webhooks"] = json!({})), "/webhooks");
        assert_eq!(at(&|document| document["webhooks"]["x y"] = json!({"post": {}})), "/webhooks/x y/name");
        assert_eq!(at(&|document| document["webhooks"]["ping"] = json!({})), "/webhooks/ping");
        let foreign = at(&|document| document["components"]["schemas"]["Money"] = json!({"$ref": "money.json"}));
        assert_eq!(foreign, "/components/schemas/Money/$ref");
        let missing = at(&|document| document["components"]["schemas"] = json!({}));
        assert_eq!(missing, "/webhooks/order.created/post/requestBody/content/application~1json/schema");
        let sample = at(&|document| {
            document["components"]["schemas"]["Money"]["properties"]["amount"]["type"] = json!("string");
        });
        assert_eq!(sample, "/webhooks/order.created/sample/total/amount");
    }
}
