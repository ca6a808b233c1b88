//! Filters: what must hold of an event besides its type.
//!
//! JSON: `{"all": [filter, …]}`, `{"any": [filter, …]}`, `{"not": filter}`, or a condition
//! `{"field": "data.total", "operator": "greater_than", "value": 100}`. Nested at most [`MAX_DEPTH`] deep, with at
//! most [`MAX_CONDITIONS`] conditions. How fields are written is in [`FieldPath`].
//!
//! A field is *missing* if its path leads nowhere: through a key that is not there, past the end of a list, or into
//! text, a number, a boolean or null. Every field of `data` is missing if the payload is not JSON or nested more than
//! 128 deep; every field of `previous`, if the event has none. An attribute that the event does not have is missing.
//! `null` is a value, not missing. A field of another kind than an operator looks at does not satisfy it.
//!
//! | operator | holds if the field | `value` | missing | `null` | list or object |
//! |---|---|---|---|---|---|
//! | `equals` | is equal | any | no | if `value` is `null` | if `value` is an equal one: no element is looked for |
//! | `not_equals` | is not equal, or missing | any | yes | unless `value` is `null` | unless `value` is an equal one |
//! | `contains` | is text that has `value` in it, or a list with an element equal to it | any | no | no | a list: any element, not within elements; an object: no |
//! | `starts_with` | is text that starts with it | text | no | no | no |
//! | `greater_than`, `greater_than_or_equal`, `less_than`, `less_than_or_equal` | is of `value`'s kind and compares so: two RFC 3339 times as instants, other text by code points | number or text | no | no | no |
//! | `in` | is equal to one of them | list, not empty | no | if `null` is one | if an equal one is one |
//! | `exists` | is there (`true`), or is missing (`false`) | boolean, `true` if left out | if `false` | if `true` | if `true` |
//! | `regex` | is text with a match anywhere in it; syntax of the `regex` crate, linear time | text | no | no | no |
//! | `changed` | differs between `data` and `previous` | none, or `true` | if in one of the two only | as any value | if not equal |
//!
//! - Equal: numbers by value (`1`, `1.0` and `1e0` are one number), never rounded, whatever their size; a number and text
//!   never; text by code points, case and all; lists element by element, in order; objects member by member, whatever
//!   their order.
//! - `changed` never holds for an event that has no `previous`, or whose `data` or `previous` can't be looked into.
//! - Attributes are text; `time` is written as `2026-01-31T12:00:00.000Z`.
//! - A number in a path leads to that place of a list, from 0, without sign or leading zeros, or to that key of an
//!   object. Of a key that an object has twice, the last counts.

mod ast;
pub(crate) mod equality;
mod evaluate;
mod explain;
mod field;
mod number;
mod parse;
#[cfg(test)]
mod tests;

pub use ast::{Bound, Condition, Filter, Test, TextPattern};
pub(crate) use evaluate::resolve;
pub use evaluate::{EventView, Parsed};
pub use explain::{Explanation, FailedCondition, Found, Shown, explain};
pub(crate) use field::split;
pub use field::{Attribute, FieldPath, InvalidFieldPath, Root, Roots};
pub use parse::{InvalidFilter, MAX_CONDITIONS, MAX_DEPTH, MAX_REGEXES, MAX_VALUE_BYTES};
