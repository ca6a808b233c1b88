//! Paths to the fields of an event.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest path, in bytes.
const MAX_PATH_LENGTH: usize = 512;
/// The most segments below `data` or `previous`.
const MAX_SEGMENTS: usize = 32;

/// A path into an event: dotted (`data.items.0.sku`) or, for keys with dots in them, a JSON pointer
/// (`/data/items/0/sku`, RFC 6901) into `data` or `previous`, or the name of an attribute (see [`Attribute`]).
/// A number leads into a list, or to the key of that name in an object.
/// Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    text: String,
    root: Root,
    segments: Vec<String>,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    /// The event's payload.
    Data,
    /// The payload before the change.
    Previous,
    /// An attribute.
    Attribute(Attribute),
}

/// Which of an event's JSON documents are meant: none, its payload, the one before the change, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roots {
    data: bool,
    previous: bool,
}

/// An attribute of an event. All are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `id`: the one that its producer gave it, if any.
    Id,
    /// `source`.
    Source,
    /// `subject`, if it has one.
    Subject,
    /// `tenant`.
    Tenant,
    /// `time`, as `2026-01-31T12:00:00.000Z`.
    Time,
    /// `type`.
    Type,
}

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFieldPath {
    /// Over 512 bytes or 32 segments.
    #[error("the field is too long: use at most {MAX_PATH_LENGTH} bytes and {MAX_SEGMENTS} segments")]
    TooLong,
    /// It begins with something else.
    #[error(
        "unknown field '{0}': begin it with 'data.' or 'previous.', or use id, source, subject, tenant, time or type"
    )]
    UnknownRoot(String),
    /// Something follows an attribute.
    #[error("'{0}' leads into an attribute, which is plain text: use the attribute's name alone")]
    IntoAttribute(String),
    /// Two dots in a row, or one at the end.
    #[error("'{0}' has an empty segment: remove the dot, or write the path as a JSON pointer ('/data/…')")]
    EmptySegment(String),
    /// A `~` that is neither `~0` nor `~1`.
    #[error("'{0}' is not a JSON pointer: write '~' as '~0' and a '/' within a key as '~1'")]
    Escape(String),
}

impl FieldPath {
    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Where it begins.
    pub fn root(&self) -> Root {
        self.0.root
    }

    /// The keys and list positions that lead from the root to the field.
    pub fn segments(&self) -> &[String] {
        &self.0.segments
    }
}

impl FromStr for FieldPath {
    type Err = InvalidFieldPath;

    fn from_str(text: &str) -> Result<Self, InvalidFieldPath> {
        let (name, segments) = split(text)?;
        let root = Root::named(&name).ok_or_else(|| InvalidFieldPath::UnknownRoot(text.to_owned()))?;
        if matches!(root, Root::Attribute(_)) && !segments.is_empty() {
            return Err(InvalidFieldPath::IntoAttribute(text.to_owned()));
        }
        Ok(Self(Arc::new(Parts { text: text.to_owned(), root, segments })))
    }
}

/// The first segment of a dotted path or JSON pointer, and what follows it.
pub(crate) fn split(text: &str) -> Result<(String, Vec<String>), InvalidFieldPath> {
    if text.len() > MAX_PATH_LENGTH {
        return Err(InvalidFieldPath::TooLong);
    }
    let mut segments = match text.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(unescape).collect::<Option<Vec<_>>>(),
        None => Some(text.split('.').map(str::to_owned).collect()),
    }
    .ok_or_else(|| InvalidFieldPath::Escape(text.to_owned()))?;
    let first = segments.remove(0);
    if !text.starts_with('/') && segments.iter().any(String::is_empty) {
        return Err(InvalidFieldPath::EmptySegment(text.to_owned()));
    }
    if segments.len() > MAX_SEGMENTS {
        return Err(InvalidFieldPath::TooLong);
    }
    Ok((first, segments))
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Roots {
    /// Adds a root; attributes are in no document.
    pub fn add(&mut self, root: Root) {
        match root {
            Root::Data => self.data = true,
            Root::Previous => self.previous = true,
            Root::Attribute(_) => {}
        }
    }

    /// Whether `root` was added.
    pub fn has(self, root: Root) -> bool {
        match root {
            Root::Data => self.data,
            Root::Previous => self.previous,
            Root::Attribute(_) => false,
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Root {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "data" => Self::Data,
            "previous" => Self::Previous,
            "id" => Self::Attribute(Attribute::Id),
            "source" => Self::Attribute(Attribute::Source),
            "subject" => Self::Attribute(Attribute::Subject),
            "tenant" => Self::Attribute(Attribute::Tenant),
            "time" => Self::Attribute(Attribute::Time),
            "type" => Self::Attribute(Attribute::Type),
            _ => return None,
        })
    }
}

/// A segment of a JSON pointer with `~1` and `~0` resolved; none if another `~` is in it.
fn unescape(segment: &str) -> Option<String> {
    let mut parts = segment.split('~');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(1)?;
        unescaped.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        unescaped.push_str(rest);
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dotted_paths_and_pointers_are_read() {
        let table: [(&str, Root, &[&str]); 8] = [
            ("data", Root::Data, &[]),
            ("data.customer.email", Root::Data, &["customer", "email"]),
            ("/data/customer/email", Root::Data, &["customer", "email"]),
            ("previous.items.0.sku", Root::Previous, &["items", "0", "sku"]),
            ("/data/a.b/c~1d/e~0f/g~01", Root::Data, &["a.b", "c/d", "e~f", "g~1"]),
            ("/data//", Root::Data, &["", ""]),
            ("type", Root::Attribute(Attribute::Type), &[]),
            ("/subject", Root::Attribute(Attribute::Subject), &[]),
        ];
        for (text, root, segments) in table {
            let path: FieldPath = text.parse().unwrap();
            assert_eq!(
                (path.root(), path.segments()),
                (root, &*segments.iter().map(|&s| s.into()).collect::<Vec<String>>()),
                "{text}"
            );
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_fix() {
        let deep = format!("data{}", ".a".repeat(MAX_SEGMENTS + 1));
        let long = format!("data.{}", "a".repeat(MAX_PATH_LENGTH));
        let table = [
            ("", InvalidFieldPath::UnknownRoot(String::new())),
            ("total", InvalidFieldPath::UnknownRoot("total".into())),
            ("Data.total", InvalidFieldPath::UnknownRoot("Data.total".into())),
            ("type.x", InvalidFieldPath::IntoAttribute("type.x".into())),
            ("data..x", InvalidFieldPath::EmptySegment("data..x".into())),
            ("data.", InvalidFieldPath::EmptySegment("data.".into())),
            ("/data/~2", InvalidFieldPath::Escape("/data/~2".into())),
            ("/data/~é", InvalidFieldPath::Escape("/data/~é".into())),
            (&deep, InvalidFieldPath::TooLong),
            (&long, InvalidFieldPath::TooLong),
        ];
        for (text, wanted) in table {
            assert_eq!(text.parse::<FieldPath>(), Err(wanted), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(/?data)?.*") {
            let _ = text.parse::<FieldPath>();
        }
    }
}
