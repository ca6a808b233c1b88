//! The catalogue of event types: what events there are, for people, and what their data must look like.
//!
//! It belongs to the whole deployment. An event whose type is not in it is matched like any other. A type may have a
//! JSON Schema (2020-12) that the `data` of its events is held against, and a [`ValidationMode`] that says what
//! follows when it does not fit.
//!
//! | of a schema | allowed |
//! |---|---|
//! | size | 64 KiB of text, nested 64 deep, 100 patterns |
//! | `$ref` | within the schema, as a JSON pointer (`#/$defs/money`); nothing is ever fetched |
//! | recursion | one way per value: a schema that applies itself twice to one value would cost twice as much per level; at most two recursive definitions that lead on to each other |
//! | references | to 500 parts; followed, 20,000 subschemas, and 16 that apply to one value one because of the other |
//! | `pattern` | syntax of the `regex` crate, linear time: no look-around, no back-references |
//! | `format` | checked (`date-time`, `email`, `uri`, `uuid` …); unknown ones are not; `regex` is refused |
//! | `uniqueItems` | by the values of the elements, numbers exactly |
//! | `$dynamicRef`, `$anchor`, `$id` within the schema, other drafts | refused |
//!
//! Data whose numbers of over 40 digits have more than 100,000 together, written without exponents, never fits:
//! comparing them would take too long.

mod bounds;
mod burden;
mod catalogue;
mod compiled;
mod cost;
mod distinct;
mod entry;
mod openapi;
mod schema;
mod shipped;
mod spec;

pub use bounds::{MAX_DEFINITIONS, MAX_PATTERNS, MAX_SCHEMA_DEPTH};
pub use catalogue::{Catalogue, InvalidCatalogue};
pub use compiled::CompiledEventType;
pub use cost::MAX_SUBSCHEMAS;
pub use entry::{EventType, InvalidMode, ValidationMode};
pub use schema::{EventSchema, InvalidSchema, Violation};
pub use shipped::ShippedCatalogue;
pub use spec::{EventTypeSpec, InvalidSpec, MAX_JSON_BYTES};
