//! JSON that keeps the order of members, for documents that people read.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::Value;

/// A JSON value whose objects keep their members' order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Neither list nor object.
    Plain(Value),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Node); N]) -> Self {
        Self::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Plain(Value::from(text))
    }

    /// A reference to something of the document.
    pub fn reference(to: &str) -> Self {
        Self::object([("$ref", Self::text(to))])
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Plain(value) = self { value.as_str() } else { None }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The items of a list; none of anything else.
    pub fn items_mut(&mut self) -> &mut [Self] {
        if let Self::List(items) = self { items } else { &mut [] }
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(String, Self)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// The members of an object; none of anything else.
    pub fn members_mut(&mut self) -> &mut [(String, Self)] {
        if let Self::Object(members) = self { members } else { &mut [] }
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The member of this name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.members_mut().iter_mut().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Sets a member of an object: in its place, or as the last.
    pub fn set(&mut self, name: &str, value: Self) {
        match self.get_mut(name) {
            Some(place) => *place = value,
            None => {
                if let Self::Object(members) = self {
                    members.push((name.to_owned(), value));
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members: Vec<(String, Node)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            // How serde_json hands out a number that is kept as it was written.
            if name == "$serde_json::private::Number" {
                let digits: String = map.next_value()?;
                return serde_json::from_str(&digits).map(Node::Plain).map_err(A::Error::custom);
            }
            members.push((name, map.next_value()?));
        }
        Ok(Node::Object(members))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_back_in_its_order() {
        let text = r#"{"b":[1,-2,3.5,true,null,"x"],"a":{"z":{},"y":12345678901234567890123}}"#;
        let node: Node = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&node).unwrap(), text);
        assert_eq!(node.get("b").unwrap().items()[5].as_str(), Some("x"));
    }

    #[test]
    fn members_are_set_in_their_place() {
        let mut node = Node::object([("a", Node::text("1")), ("b", Node::text("2"))]);
        node.set("a", Node::text("3"));
        node.set("c", Node::text("4"));
        assert_eq!(serde_json::to_string(&node).unwrap(), r#"{"a":"3","b":"2","c":"4"}"#);
    }
}
