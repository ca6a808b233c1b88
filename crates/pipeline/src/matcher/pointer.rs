//! JSON pointers (RFC 6901) into bytes that stay as they are.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer as _,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The most segments: each is looked up by skimming what the one before has found.
const MAX_SEGMENTS: usize = 32;
/// The longest pointer, in bytes.
const MAX_BYTES: usize = 512;

/// A JSON pointer; the empty one is the whole value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    segments: Vec<String>,
}

/// Why a text is not a JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// It begins with something else than `/`.
    #[error("a JSON pointer is empty or begins with '/', as '/data/id'")]
    Beginning,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("in a JSON pointer '~' is written '~0', and a '/' within a key '~1'")]
    Escape,
    /// Over 512 bytes or 32 segments.
    #[error("a JSON pointer has at most {MAX_BYTES} bytes and {MAX_SEGMENTS} segments")]
    TooLong,
}

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        let segments: Vec<String> = match text.strip_prefix('/') {
            None if text.is_empty() => Vec::new(),
            None => return Err(InvalidPointer::Beginning),
            Some(rest) => rest.split('/').map(unescaped).collect::<Result<_, _>>()?,
        };
        if text.len() > MAX_BYTES || segments.len() > MAX_SEGMENTS {
            return Err(InvalidPointer::TooLong);
        }
        Ok(Self { text: text.to_owned(), segments })
    }
}

fn unescaped(segment: &str) -> Result<String, InvalidPointer> {
    let mut parts = segment.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err(InvalidPointer::Escape),
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Ok(text)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pointer {
    /// What is there in `json`, as it is written; of equal keys the last. None: nothing is there. Error: it is not JSON.
    pub(super) fn find<'a>(&self, json: &'a str) -> serde_json::Result<Option<&'a RawValue>> {
        let mut found: &RawValue = serde_json::from_str(json)?;
        for segment in &self.segments {
            // Numbers of any precision would pass for objects.
            if !found.get().starts_with(['{', '[']) {
                return Ok(None);
            }
            let mut deserializer = serde_json::Deserializer::from_str(found.get());
            match deserializer.deserialize_any(Member(segment))? {
                Some(member) => found = member,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}

/// Finds a member of an object, or an element of a list.
struct Member<'s>(&'s str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(KeyIs(self.0))? {
            if is_it {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        // `01` and `+1` are no indices.
        let index: Option<usize> = self.0.parse().ok().filter(|index: &usize| index.to_string() == self.0);
        let (mut at, mut found) = (0, None);
        loop {
            if index == Some(at) {
                found = list.next_element()?;
                if found.is_none() {
                    return Ok(None);
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }
}

/// Whether a key is the one that is looked for.
struct KeyIs<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let key: Cow<'de, str> = Deserialize::deserialize(deserializer)?;
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_as_it_was_written() {
        let json =
            r#" {"a":{"b":[10,{"c": 1.10 }, null]},"":0,"x/y":"s","m~n":true,"é":[ ],"t\"q":2,"dup":1,"dup":2} "#;
        for (pointer, expected) in [
            ("", Some(json.trim())),
            ("/a/b/0", Some("10")),
            ("/a/b/1", Some(r#"{"c": 1.10 }"#)),
            ("/a/b/1/c", Some("1.10")),
            ("/a/b/2", Some("null")),
            ("/a/b/3", None),
            ("/a/b/01", None),
            ("/a/b/-", None),
            ("/a/b/0/c", None),
            ("/a/c", None),
            ("/", Some("0")),
            ("/x~1y", Some("\"s\"")),
            ("/x~1y/z", None),
            ("/m~0n", Some("true")),
            ("/m~0n/z", None),
            ("/é", Some("[ ]")),
            ("/t\"q", Some("2")),
            ("/dup", Some("2")),
        ] {
            let pointer: Pointer = pointer.parse().unwrap();
            assert_eq!(pointer.find(json).unwrap().map(RawValue::get), expected, "{pointer}");
        }
    }

    #[test]
    fn what_is_not_json_is_an_error_and_depth_and_numbers_are_no_matter() {
        let pointer: Pointer = "/a".parse().unwrap();
        for bad in ["", "{", "{\"a\":1", "{\"a\":1}x", "nonsense"] {
            assert!(pointer.find(bad).is_err(), "{bad}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pointer.find(&deep).unwrap().map(|raw| raw.get().len()), Some(200_000));
        let huge = format!("{{\"a\":1{}e999999999}}", "0".repeat(100_000));
        assert_eq!(pointer.find(&huge).unwrap().map(|raw| raw.get().len()), Some(100_011));
        let into: Pointer = "/a/b".parse().unwrap();
        assert_eq!(into.find(&huge).unwrap().map(RawValue::get), None);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for (text, expected) in [
            ("a", InvalidPointer::Beginning),
            ("$.a", InvalidPointer::Beginning),
            ("/a~", InvalidPointer::Escape),
            ("/a~2", InvalidPointer::Escape),
        ] {
            assert_eq!(text.parse::<Pointer>(), Err(expected), "{text}");
        }
        assert_eq!("/a".repeat(33).parse::<Pointer>(), Err(InvalidPointer::TooLong));
        assert_eq!(format!("/{}", "a".repeat(512)).parse::<Pointer>(), Err(InvalidPointer::TooLong));
    }
}
