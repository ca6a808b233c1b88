//! What a mapping is made of, and its JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{InvalidMapping, field::Field, formats::Format};
use crate::delivery::Method;

/// The request that a subscription sends instead of its endpoint's usual one. Its JSON is that of the
/// [module](super). One pointer large: most subscriptions have none.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping(pub(super) Box<Parts>);

/// What of the request is mapped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts {
    pub body: Option<Expression>,
    /// By name, as it was written.
    pub headers: Vec<(String, Expression)>,
    pub path: Vec<Expression>,
    pub method: Option<Method>,
}

/// What comes to a value, given an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// A number, boolean, null or text that stands for itself.
    Literal(Value),
    /// `$const`.
    Constant(Value),
    /// Text that begins with `$.`.
    Field(Field),
    /// `$path`.
    Look(Look),
    /// `$text`.
    Text(Text),
    List(Vec<Expression>),
    /// Members by the names that they have in the output.
    Object(Vec<(String, Expression)>),
    Each(Each),
}

/// A field that may be formatted, and need not be there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub field: Field,
    pub fallback: Fallback,
    pub format: Option<Format>,
}

/// What becomes of a field that is missing or null.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fallback {
    /// Missing it is an error.
    None,
    Default(Value),
    LeaveOut,
}

/// Text with fields in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    pub source: String,
    pub pieces: Vec<Piece>,
}

/// A piece of such a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Plain(String),
    Field { field: Field, optional: bool },
}

/// An expression for each element of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Each {
    pub list: Field,
    pub optional: bool,
    /// What is made of each.
    pub element: Box<Expression>,
}

impl Mapping {
    /// Whether it makes a body, instead of the endpoint's own style.
    pub fn has_body(&self) -> bool {
        self.0.body.is_some()
    }

    /// Its JSON, as in the API.
    pub fn to_json(&self) -> Value {
        let Parts { body, headers, path, method } = &*self.0;
        let mut json = Map::new();
        if let Some(body) = body {
            json.insert("body".into(), body.to_json());
        }
        if !headers.is_empty() {
            let headers = headers.iter().map(|(name, value)| (name.clone(), value.to_json()));
            json.insert("headers".into(), headers.collect::<Map<_, _>>().into());
        }
        if !path.is_empty() {
            json.insert("path".into(), path.iter().map(Expression::to_json).collect());
        }
        if let Some(method) = method {
            json.insert("method".into(), method.as_str().into());
        }
        Value::Object(json)
    }
}

impl Expression {
    fn to_json(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Constant(value) => json!({"$const": value}),
            Self::Field(field) => format!("$.{}", field.as_str()).into(),
            Self::Look(look) => look.to_json(),
            Self::Text(text) => json!({"$text": text.source}),
            Self::List(elements) => elements.iter().map(Self::to_json).collect(),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| (written(name), value.to_json());
                members.iter().map(member).collect::<Map<_, _>>().into()
            }
            Self::Each(each) => each.to_json(),
        }
    }
}

/// A member's name as a mapping has it: `$` begins what is not a name.
fn written(name: &str) -> String {
    if name.starts_with('$') { format!("${name}") } else { name.to_owned() }
}

impl Look {
    fn to_json(&self) -> Value {
        let mut json = json!({"$path": self.field.as_str()});
        match &self.fallback {
            Fallback::None => {}
            Fallback::Default(value) => json["$default"] = value.clone(),
            Fallback::LeaveOut => json["$optional"] = true.into(),
        }
        if let Some(format) = &self.format {
            json["$format"] = format.to_json();
        }
        json
    }
}

impl Each {
    fn to_json(&self) -> Value {
        let mut json = json!({"$each": self.list.as_str(), "$do": self.element.to_json()});
        if self.optional {
            json["$optional"] = true.into();
        }
        json
    }
}

impl TryFrom<&Value> for Mapping {
    type Error = InvalidMapping;

    fn try_from(json: &Value) -> Result<Self, InvalidMapping> {
        Self::from_json(json)
    }
}

impl Serialize for Mapping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
