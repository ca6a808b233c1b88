//! From a schema's JSON to what the decoder follows.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::logical::{BytesAs, IntAs, LongAs};

/// What may be wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::registry) struct InvalidSchema(pub String);

/// Where a node stands in its schema.
pub(super) type NodeId = usize;

/// How one value is written, and what it becomes.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int(IntAs),
    Long(LongAs),
    Float,
    Double,
    Bytes(BytesAs),
    Fixed(usize, BytesAs),
    Text,
    /// The symbols, as JSON.
    Enum(Vec<String>),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Vec<Field>),
    /// Exactly another node.
    Same(NodeId),
    /// A type that was named before it was defined; none are left once a schema is read.
    Named(String),
    /// The record of the `CloudEvents` Avro format: what attributes' values are, and the data.
    CloudEvent {
        attribute: NodeId,
        data: NodeId,
    },
}

/// A field of a record.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name as JSON, with the colon.
    pub key: String,
    pub node: NodeId,
}

/// A writer's schema.
#[derive(Debug)]
pub(in crate::registry) struct AvroSchema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
    name: String,
    bytes: usize,
}

impl AvroSchema {
    /// Reads a schema together with those that it refers to.
    pub fn parse<'a>(text: &str, references: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidSchema> {
        let mut reader = Reader::default();
        let mut length = text.len();
        for reference in references {
            length += reference.len();
            reader.node(&json(reference)?, "")?;
        }
        let schema = json(text)?;
        let root = reader.node(&schema, "")?;
        reader.resolve()?;
        let Reader { nodes, names } = reader;
        let name = match nodes[root] {
            // Whatever its version is called.
            Node::CloudEvent { .. } => Some("io.cloudevents.CloudEvent".to_owned()),
            _ => names.iter().find(|(_, id)| **id == root).map(|(name, _)| name.clone()),
        };
        let bytes = length + nodes.len() * size_of::<Node>();
        let unnamed = || schema.as_str().or_else(|| schema["type"].as_str()).unwrap_or("union").to_owned();
        Ok(Self { nodes, root, name: name.unwrap_or_else(unnamed), bytes })
    }

    /// The full name of its record; of what is no record, its type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn json(text: &str) -> Result<Value, InvalidSchema> {
    serde_json::from_str(text).map_err(|error| InvalidSchema(format!("it is not JSON: {error}")))
}

#[derive(Default)]
struct Reader {
    nodes: Vec<Node>,
    /// By full name.
    names: HashMap<String, NodeId>,
}

impl Reader {
    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Reads a schema inside `namespace`.
    fn node(&mut self, schema: &Value, namespace: &str) -> Result<NodeId, InvalidSchema> {
        match schema {
            Value::String(name) => Ok(self.by_name(name, &Map::new(), namespace)),
            Value::Array(variants) => {
                let variants = variants.iter().map(|variant| self.node(variant, namespace));
                let variants = variants.collect::<Result<_, _>>()?;
                Ok(self.add(Node::Union(variants)))
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(InvalidSchema(format!("{other} is no type"))),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, InvalidSchema> {
        match object.get("type") {
            Some(Value::String(kind)) => match kind.as_str() {
                "record" | "error" => self.record(object, namespace),
                "enum" => self.enumeration(object, namespace),
                "fixed" => {
                    let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                    let size = size.ok_or_else(|| InvalidSchema("a fixed type has no 'size'".to_owned()))?;
                    let node = Node::Fixed(size, BytesAs::of(object, Some(size)));
                    let (name, _) = full_name(object, namespace)?;
                    let id = self.add(node);
                    self.define(&name, id)
                }
                "array" => {
                    let items = self.node(required(object, "items")?, namespace)?;
                    Ok(self.add(Node::Array(items)))
                }
                "map" => {
                    let values = self.node(required(object, "values")?, namespace)?;
                    Ok(self.add(Node::Map(values)))
                }
                name => Ok(self.by_name(name, object, namespace)),
            },
            Some(nested) => self.node(nested, namespace),
            None => Err(InvalidSchema("a type has no 'type'".to_owned())),
        }
    }

    /// A primitive type, with what `object` says of it, or a named one.
    fn by_name(&mut self, name: &str, object: &Map<String, Value>, namespace: &str) -> NodeId {
        let node = match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "int" => Node::Int(IntAs::of(object)),
            "long" => Node::Long(LongAs::of(object)),
            "float" => Node::Float,
            "double" => Node::Double,
            "bytes" => Node::Bytes(BytesAs::of(object, None)),
            "string" => Node::Text,
            name => {
                let full = in_namespace(name, namespace);
                if let Some(known) = self.names.get(&full) {
                    return *known;
                }
                Node::Named(full)
            }
        };
        self.add(node)
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, InvalidSchema> {
        let (name, namespace) = full_name(object, namespace)?;
        // Its place is taken first: its fields may be of its own type.
        let id = self.add(Node::Null);
        self.define(&name, id)?;
        let Value::Array(described) = required(object, "fields")? else {
            return Err(InvalidSchema(format!("the 'fields' of {name} are no list")));
        };
        let mut fields = Vec::with_capacity(described.len());
        for field in described {
            let (Some(key), Some(schema)) = (field["name"].as_str(), field.get("type")) else {
                return Err(InvalidSchema(format!("a field of {name} has no 'name' or no 'type'")));
            };
            let node = self.node(schema, &namespace)?;
            fields.push((key, node));
        }
        self.nodes[id] = as_node(&name, &fields, &self.nodes);
        Ok(id)
    }

    fn enumeration(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, InvalidSchema> {
        let (name, _) = full_name(object, namespace)?;
        let symbols = required(object, "symbols")?.as_array().and_then(|symbols| {
            let as_json = |symbol: &Value| symbol.is_string().then(|| symbol.to_string());
            symbols.iter().map(as_json).collect::<Option<Vec<String>>>()
        });
        let symbols = symbols.ok_or_else(|| InvalidSchema(format!("the 'symbols' of {name} are no list of texts")))?;
        let id = self.add(Node::Enum(symbols));
        self.define(&name, id)
    }

    fn define(&mut self, name: &str, id: NodeId) -> Result<NodeId, InvalidSchema> {
        match self.names.insert(name.to_owned(), id) {
            None => Ok(id),
            Some(_) => Err(InvalidSchema(format!("{name} is defined twice"))),
        }
    }

    /// Finds what was named before it was defined.
    fn resolve(&mut self) -> Result<(), InvalidSchema> {
        for node in &mut self.nodes {
            if let Node::Named(name) = node {
                // As Avro for Java does: a name without a namespace may also be one of none.
                let bare = name.rsplit('.').next().expect("there is always a last part");
                let found = self.names.get(name.as_str()).or_else(|| self.names.get(bare));
                let found = found.ok_or_else(|| InvalidSchema(format!("the type {name} is not defined")))?;
                *node = Node::Same(*found);
            }
        }
        Ok(())
    }
}

/// What a record becomes: an object, but for those of the `CloudEvents` Avro format.
fn as_node(name: &str, fields: &[(&str, NodeId)], nodes: &[Node]) -> Node {
    let is = |short: &str| {
        name.strip_prefix("io.cloudevents.").is_some_and(|rest| rest.strip_prefix("Avro").unwrap_or(rest) == short)
    };
    match *fields {
        [("attribute", attributes), ("data", data)] if is("CloudEvent") => {
            if let Node::Map(attribute) = nodes[attributes] {
                return Node::CloudEvent { attribute, data };
            }
        }
        [("value", value)] if is("CloudEventData") => return Node::Same(value),
        _ => {}
    }
    let key = |name: &str| format!("{}:", Value::from(name));
    Node::Record(fields.iter().map(|(name, node)| Field { key: key(name), node: *node }).collect())
}

fn required<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Value, InvalidSchema> {
    object.get(key).ok_or_else(|| InvalidSchema(format!("a type has no '{key}'")))
}

/// A named type's full name, and the namespace of what it holds.
fn full_name(object: &Map<String, Value>, enclosing: &str) -> Result<(String, String), InvalidSchema> {
    let name = required(object, "name")?.as_str();
    let name = name.ok_or_else(|| InvalidSchema("the 'name' of a type is no text".to_owned()))?;
    let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(enclosing);
    let full = in_namespace(name, namespace);
    let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
    Ok((full, inner))
}

fn in_namespace(name: &str, namespace: &str) -> String {
    match name.rsplit_once('.') {
        Some(("", bare)) => bare.to_owned(),
        Some(_) => name.to_owned(),
        None if namespace.is_empty() => name.to_owned(),
        None => format!("{namespace}.{name}"),
    }
}
