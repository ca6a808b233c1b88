//! Filters: what must hold of an event besides its type.
//!
//! JSON: `{"all": [filter, …]}`, `{"any": [filter, …]}`, `{"not": filter}`, or a condition
//! `{"field": "data.total", "operator": "greater_than", "value": 100}`. Nested at most [`MAX_DEPTH`] deep, with at
//! most [`MAX_CONDITIONS`] conditions. How fields are written is in [`FieldPath`].
//!
//! A field is *missing* if its path leads nowhere, its event has no such attribute, or its payload is not JSON.
//! `null` is a value, not missing. A field of another kind than an operator looks at does not satisfy it.
//!
//! | operator | holds if the field | `value` | missing field |
//! |---|---|---|---|
//! | `equals` | is equal; numbers by value, objects whatever their order | any | false |
//! | `not_equals` | is not equal, or missing | any | true |
//! | `contains` | is text that has `value` in it, or a list with an element equal to it | any | false |
//! | `starts_with` | is text that starts with it | text | false |
//! | `greater_than`, `greater_than_or_equal`, `less_than`, `less_than_or_equal` | compares so: numbers exactly, two RFC 3339 times as instants, other text by code points | number or text | false |
//! | `in` | is equal to one of them | list, not empty | false |
//! | `exists` | is there (`true`), or is missing (`false`) | boolean, `true` if left out | `false` asks for it |
//! | `regex` | is text with a match anywhere in it; syntax of the `regex` crate, linear time | text | false |
//! | `changed` | differs between `data` and `previous`, or is in only one of them; never if the event has no `previous` or `data` | none, or `true` | see left |
//!
//! Text is compared by code points, case and all.

mod ast;
mod evaluate;
mod field;
mod number;
mod parse;

pub use ast::{Bound, Condition, Filter, Test, TextPattern};
pub use evaluate::EventView;
pub(crate) use evaluate::resolve;
pub(crate) use field::split;
pub use field::{Attribute, FieldPath, InvalidFieldPath, Root};
pub use parse::{InvalidFilter, MAX_CONDITIONS, MAX_DEPTH, MAX_REGEXES, MAX_VALUE_BYTES};
