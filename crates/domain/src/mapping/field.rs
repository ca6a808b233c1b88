//! Fields that a mapping looks at: the event's, and those of the element that `$do` is at.

use std::borrow::Cow;

use serde_json::Value;

use crate::filter::{Attribute, EventView, FieldPath, InvalidFieldPath, Root, resolve, split};

/// The root of paths into the element that `$do` is at.
const ITEM: &str = "item";

/// A field of the event or of an element.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Event(FieldPath),
    Item { text: String, segments: Vec<String> },
}

impl Field {
    /// Whether `text` leads into an element.
    pub(super) fn is_of_item(text: &str) -> bool {
        split(text).is_ok_and(|(first, _)| first == ITEM)
    }

    pub(super) fn parse(text: &str) -> Result<Self, InvalidFieldPath> {
        match split(text)? {
            (first, segments) if first == ITEM => Ok(Self::Item { text: text.to_owned(), segments }),
            _ => text.parse().map(Self::Event),
        }
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Event(path) => path.as_str(),
            Self::Item { text, .. } => text,
        }
    }

    /// Its value; none if it is missing. Every event has an `id`: a receiver is to know it by something.
    pub(super) fn find<'v>(&self, event: &'v EventView<'v>, item: Option<&'v Value>) -> Option<Cow<'v, Value>> {
        match self {
            Self::Event(path) if path.root() == Root::Attribute(Attribute::Id) => {
                Some(Cow::Owned(event.event().shown_id().into()))
            }
            Self::Event(path) => event.field(path),
            Self::Item { segments, .. } => resolve(item?, segments).map(Cow::Borrowed),
        }
    }
}

/// The path of `field`, which was looked up in the element number `index` of `list`, from further out.
pub(super) fn in_list(field: String, list: &str, index: usize) -> String {
    match field.strip_prefix(ITEM) {
        Some(rest) if (rest.is_empty() || rest.starts_with('.')) && !list.starts_with('/') => {
            format!("{list}.{index}{rest}")
        }
        _ => field,
    }
}
