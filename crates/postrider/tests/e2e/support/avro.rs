//! A schema's fingerprint, computed as the Avro specification says and independently of the binary.

use serde_json::Value;

/// The CRC-64-AVRO of a schema's canonical form, as it stands in front of a single object.
pub fn canonical_fingerprint(schema: &Value) -> [u8; 8] {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let mut table = [0u64; 256];
    for (entry, byte) in table.iter_mut().zip(0u64..) {
        *entry = (0..8).fold(byte, |value, _| (value >> 1) ^ (EMPTY & 0u64.wrapping_sub(value & 1)));
    }
    let fold = |value: u64, byte: u8| (value >> 8) ^ table[usize::from(value.to_le_bytes()[0] ^ byte)];
    canonical(schema).bytes().fold(EMPTY, fold).to_le_bytes()
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// "Parsing Canonical Form", for schemas without namespaces: only what decoding depends on, in a fixed order.
fn canonical(schema: &Value) -> String {
    match schema {
        Value::Array(union) => format!("[{}]", union.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(object) => {
            let mut parts = Vec::new();
            let simple = object.len() == 1 && object["type"].is_string();
            if simple || (object["type"].is_string() && object.get("logicalType").is_some()) {
                return object["type"].to_string();
            }
            for key in ["name", "type", "fields", "symbols", "items", "values", "size"] {
                let Some(value) = object.get(key) else { continue };
                let text = match (key, value) {
                    ("fields", Value::Array(fields)) => {
                        format!("[{}]", fields.iter().map(canonical_field).collect::<Vec<_>>().join(","))
                    }
                    ("type" | "items" | "values", value) => canonical(value),
                    (_, value) => value.to_string(),
                };
                parts.push(format!("\"{key}\":{text}"));
            }
            format!("{{{}}}", parts.join(","))
        }
        other => other.to_string(),
    }
}

fn canonical_field(field: &Value) -> String {
    format!("{{\"name\":{},\"type\":{}}}", field["name"], canonical(&field["type"]))
}
