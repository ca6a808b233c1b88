//! CloudEvents 1.0 over HTTP: JSON format 1.0.2 and HTTP protocol binding 1.0.2.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Rendered, is_json_content_type, json};
use crate::{Event, delivery::Header};

const SPEC_VERSION: &str = "1.0";
const STRUCTURED: &str = "application/cloudevents+json";

/// Attributes and data in one JSON object.
pub(super) fn structured(event: &Event) -> Rendered {
    let object = json::object(STRUCTURED)
        .member("specversion", SPEC_VERSION)
        .member("id", event.shown_id())
        .member("source", &event.source)
        .member("type", &event.event_type)
        .member("time", &event.time.to_rfc3339())
        .optional("subject", event.subject.as_deref());
    if event.data.is_empty() {
        return object.end();
    }
    let object = object.member("datacontenttype", &event.content_type);
    if is_json_content_type(&event.content_type) {
        object.raw("data", &event.data).end()
    } else {
        object.member("data_base64", &STANDARD.encode(&event.data)).end()
    }
}

/// The data as they are, and each attribute in a header of its own.
pub(super) fn binary(event: &Event) -> Rendered {
    let time = event.time.to_rfc3339();
    let attributes = [
        ("ce-specversion", Some(SPEC_VERSION)),
        ("ce-id", Some(event.shown_id())),
        ("ce-source", Some(&event.source)),
        ("ce-type", Some(&event.event_type)),
        ("ce-time", Some(&time)),
        ("ce-subject", event.subject.as_deref()),
    ];
    let header =
        |(name, value): (&str, Option<&str>)| Some(Header { name: name.to_owned(), value: percent_encoded(value?) });
    Rendered { headers: attributes.into_iter().filter_map(header).collect(), ..Rendered::data_of(event) }
}

/// As section 3.1.3.2 of the binding has it: white space, `"`, `%` and whatever is not printable ASCII.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => write!(encoded, "%{byte:02X}").expect("a text takes whatever is written"),
            b'!'..=b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a text takes whatever is written"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_values_are_encoded_as_the_binding_has_it() {
        // The binding's own example.
        assert_eq!(percent_encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("100% \"sure\"\n"), "100%25%20%22sure%22%0A");
        assert_eq!(percent_encoded("/orders/1?a=b&c=~"), "/orders/1?a=b&c=~");
    }

    proptest! {
        #[test]
        fn an_encoded_value_is_printable_and_decodes_to_what_it_was(value in ".*") {
            let encoded = percent_encoded(&value);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
            let mut decoded = Vec::new();
            let mut bytes = encoded.bytes();
            while let Some(byte) = bytes.next() {
                if byte == b'%' {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    decoded.extend(hex::decode(digits).unwrap());
                } else {
                    decoded.push(byte);
                }
            }
            prop_assert_eq!(decoded, value.into_bytes());
        }
    }
}
