//! Mappings: the request that a subscription sends, declared as a pattern of JSON. Nothing in it loops or branches
//! but by what the event holds, so that what it takes in time and memory is bounded.
//!
//! `{"body": <expression>, "headers": {"X-Name": <expression>}, "path": [<expression>, …], "method": "PUT"}`, at least
//! one of them. Without `body` the endpoint's own body style is sent.
//!
//! | expression | comes to |
//! |---|---|
//! | number, boolean, `null`, text | itself |
//! | text that begins with `$.`, as `"$.data.email"` | the field, its digits and nesting as they are |
//! | `{"$path": "data.email"}` | the field; with `"$default": <constant>`, `"$optional": true`, `"$format": <format>` |
//! | `{"$const": <any JSON>}` | that JSON, whatever is in it |
//! | `{"$text": "Order {data.id} for {data.name?}"}` | text with fields in it; `{{` and `}}` are braces |
//! | `{"$each": "data.items", "$do": <expression>}` | a list with one element for each of the field's; there `$.item` is the element. With `"$optional": true` left out where there is no list |
//! | `[<expression>, …]` | a list |
//! | `{"name": <expression>, …}` | an object, its members in the order of their names; `"$$name"` stands for a member `$name` |
//!
//! Fields are written as in filters (see [`FieldPath`](crate::filter::FieldPath)): `data.…`, `previous.…`, `type`,
//! `id`, `time`, `source`, `subject`, `tenant`, or a JSON pointer (`/data/a.b`). But for `id`: where the producer gave
//! none, it is the one that Postrider gave the event, so that it is always there.
//!
//! What becomes of a field that is not there:
//!
//! | the field is | alone | with `$default` | with `$optional` | `{field}` in a text | `{field?}` in a text |
//! |---|---|---|---|---|---|
//! | there | its value | its value | its value | its text | its text |
//! | `null` | `null` in a body; an error with `$format`, in a header and in a path | the default | left out | an error | nothing |
//! | missing | an error | the default | left out | an error | nothing |
//! | of a kind that its place or format does not take | an error | an error | an error | an error | an error |
//!
//! A default is taken as it is, not formatted. Left out is the member, the element, the header or the part of the
//! path; a body can't be. A header, a part of the path and a field in a text take text, numbers and booleans. A payload
//! that is not JSON has no fields.
//!
//! | `$format` | takes | comes to |
//! |---|---|---|
//! | `string` | text, number, boolean | its text, digits as they are |
//! | `number` | number, text of one in JSON's form | the number, digits as they are |
//! | `boolean` | boolean, `true` and `false` as text in any case, 1 and 0 | the boolean |
//! | `lowercase`, `uppercase` | text, number, boolean | its text so |
//! | `iso8601` | RFC 3339 text, a date, Unix time (from 10^11 on in milliseconds) | `2026-01-31T12:00:00.000Z` |
//! | `unix_seconds`, `unix_milliseconds`, `unix_microseconds` | the same | a whole number, rounded down |
//! | `sha256` | text, number, boolean | hex of the SHA-256 of its text, trimmed and in lower case |
//! | `uuid` | text, number, boolean | a UUID made of its text, the same for the same text |
//! | `{"join": ", "}` | a list of text, numbers, booleans and nulls | their texts with that between them; nulls are skipped |
//!
//! Names and values of headers are under the rules of an endpoint's own headers. Parts of the path are
//! percent-escaped and appended to that of the endpoint's URL; empty ones, `.` and `..` are refused in whatever
//! encoding.

mod ast;
mod evaluate;
mod field;
mod formats;
mod parse;
mod problem;
mod request;
#[cfg(test)]
mod tests;

pub use ast::Mapping;
pub use evaluate::{MAX_ELEMENTS, MAX_WORK, Mapped};
pub use parse::{InvalidMapping, MAX_DEPTH, MAX_EXPRESSIONS, MAX_HEADERS, MAX_MAPPING_BYTES, MAX_PATH_PARTS};
pub use problem::{MappingError, MappingProblem};
pub use request::MAX_PATH_BYTES;
