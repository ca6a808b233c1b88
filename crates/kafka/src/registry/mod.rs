//! Avro as users' services write it, turned into JSON with the schema that it was written with: Confluent's wire format
//! and Avro's single-object encoding, with schemas from a Schema Registry or from files; and `CloudEvents` in Avro.
//!
//! | Avro | JSON |
//! |---|---|
//! | null, boolean, string, enum | `null`, `true`, text |
//! | int, long | a number with all its digits |
//! | float, double | the shortest number that reads back the same; texts `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | bytes, fixed | base64 with padding |
//! | array, map, record | list, object |
//! | union | the value itself, without the name of its branch |
//! | decimal, big-decimal | a number with all digits of its scale: `12.30` |
//! | date | `"2026-01-31"` |
//! | time-millis, time-micros | `"12:34:56.789"`, with 3 or 6 digits |
//! | timestamp-millis, -micros, -nanos | `"2026-01-31T12:34:56.789Z"`, with 3, 6 or 9 digits |
//! | local-timestamp-… | the same without `Z` |
//! | uuid | text with hyphens |
//! | duration | ISO 8601: `"P1M2DT3.004S"` |
//!
//! A date, time or timestamp that no such text can say (years outside 0000–9999) is the number that was written.

mod avro;
mod cache;
mod client;
mod config;
mod outage;
mod schema_registry;
mod schemas;

pub use config::{InvalidRegistry, RegistryConfig};
pub use schema_registry::{AvroError, AvroJson, SchemaId, SchemaRegistry, cloudevent_to_json};

#[cfg(test)]
mod tests;
