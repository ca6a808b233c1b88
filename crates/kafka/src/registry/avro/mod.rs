//! Avro's binary encoding, and schemas as far as reading it needs them.
//!
//! Not the library that internal records use: its decimals end at 28 digits, its untyped values do not tell a timestamp
//! from a number, and it refuses schemas for attributes that the specification lets one leave out.

mod decode;
mod logical;
mod schema;

pub(super) use decode::{Undecodable, to_json};
pub(super) use schema::AvroSchema;

#[cfg(test)]
mod tests;
