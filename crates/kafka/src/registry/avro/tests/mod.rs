//! What Avro becomes, on bytes that are written by hand as the specification says.

mod bounds;
mod rendering;
mod schemas;

use super::*;

/// An int or a long.
fn long(number: i64) -> Vec<u8> {
    let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// Bytes or a text, with their length.
fn sized(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&*long(i64::try_from(bytes.len()).unwrap()), bytes].concat()
}

/// The datum as JSON.
fn read(schema: &str, datum: &[u8]) -> Result<String, Undecodable> {
    let schema = AvroSchema::parse(schema, []).unwrap();
    to_json(&schema, datum).map(|json| String::from_utf8(json.to_vec()).unwrap())
}
