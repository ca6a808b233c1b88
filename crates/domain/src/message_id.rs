//! Identities of events and messages: deterministic, so that a repeated match gives the same `webhook-id`.
//!
//! Every part is written with its length in front (`6:orders`), so that no two different sets of parts give the
//! same text. An identity over [`MAX_EVENT_ID_LENGTH`] bytes, or with NUL in it, whatever its producer was thinking, is
//! replaced by its hash: identities are keys of topics and tables, which have limits of their own.

use sha2::{Digest, Sha256};

use crate::{EndpointId, EventId, MessageId, SourceCoordinates, Timestamp};

/// The longest event identity that is kept as it is, in bytes.
pub const MAX_EVENT_ID_LENGTH: usize = 512;

/// Sets the hash apart from every other use of SHA-256 over the same parts.
const MESSAGE_ID_DOMAIN: &str = "postrider.message-id.v1";

/// Crockford's base 32 in lower case: no letter that reads as a digit.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 digits of 5 bits: the first 130 bits of the hash.
const MESSAGE_ID_DIGITS: usize = 26;

/// The identity of an event whose producer gave it an id. Ids are unique within a source: the configured one
/// and, with CloudEvents, the `source` attribute.
pub fn event_id(source_name: &str, cloudevents_source: Option<&str>, producer_id: &str) -> EventId {
    let within = cloudevents_source.map_or_else(|| "-".to_owned(), prefixed);
    bounded(format!("id,{},{within},{}", prefixed(source_name), prefixed(producer_id)))
}

/// The identity of an event without an id: where, and when, its record was written. The time sets apart the
/// records of a topic that was deleted and made again.
pub fn event_id_from_coordinates(source_name: &str, at: &SourceCoordinates, record_time: Timestamp) -> EventId {
    let SourceCoordinates { topic, partition, offset } = at;
    let millis = record_time.as_millis();
    bounded(format!("at,{},{},{partition},{offset},{millis}", prefixed(source_name), prefixed(topic)))
}

/// The identity of an event without an id that is one of several in a record, number `index` of them.
pub fn event_id_in_batch(source_name: &str, at: &SourceCoordinates, record_time: Timestamp, index: usize) -> EventId {
    let record = event_id_from_coordinates(source_name, at, record_time);
    bounded(format!("{record},{index}"))
}

/// The `webhook-id` of an event for an endpoint: `msg_` and 26 characters of base 32 of a SHA-256.
pub fn message_id(event: &EventId, endpoint: &EndpointId) -> MessageId {
    let mut hash = Sha256::new();
    for part in [MESSAGE_ID_DOMAIN, event.as_str(), endpoint.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let digits: String = (0..MESSAGE_ID_DIGITS).map(|index| base32_digit(&digest, index)).collect();
    MessageId::from_trusted(format!("{}{digits}", MessageId::PREFIX))
}

fn prefixed(part: &str) -> String {
    format!("{}:{part}", part.len())
}

fn bounded(identity: String) -> EventId {
    // Postgres' `text` has no place for NUL.
    if identity.len() <= MAX_EVENT_ID_LENGTH && !identity.contains('\0') {
        return EventId::from_trusted(identity);
    }
    EventId::from_trusted(format!("sha256,{}", hex::encode(Sha256::digest(identity.as_bytes()))))
}

/// Digit number `index` of the bytes read as one big-endian number in base 32.
fn base32_digit(bytes: &[u8], index: usize) -> char {
    let bit = index * 5;
    let pair = u16::from(bytes[bit / 8]) << 8 | u16::from(bytes[bit / 8 + 1]);
    let digit = (pair >> (11 - bit % 8)) & 0x1f;
    char::from(BASE32[usize::from(digit)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint() -> EndpointId {
        EndpointId::from_trusted("ep_01hzzzzzzzzzzzzzzzzzzzzzzz")
    }

    #[test]
    fn message_ids_are_stable_over_releases() {
        let event = event_id("orders", Some("/shop"), "evt-1");
        assert_eq!(event.as_str(), "id,6:orders,5:/shop,5:evt-1");
        assert_eq!(message_id(&event, &endpoint()).as_str(), "msg_abqv5r5azy4rgtfna4j5pzfbr3");
    }

    #[test]
    fn coordinates_identify_an_event_without_an_id() {
        let at = SourceCoordinates { topic: "shop.orders".into(), partition: 3, offset: 42 };
        let id = event_id_from_coordinates("orders", &at, Timestamp::from_millis(7));
        assert_eq!(id.as_str(), "at,6:orders,11:shop.orders,3,42,7");
    }

    #[test]
    fn moving_text_between_parts_changes_the_identity() {
        let ids = [
            event_id("a", None, "bc"),
            event_id("ab", None, "c"),
            event_id("a", Some("b"), "c"),
            event_id("a", Some(""), "bc"),
            event_id("a", Some("-"), "bc"),
            event_id("a,1:b", None, "c"),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn an_identity_that_no_table_takes_becomes_its_hash() {
        let nul = event_id("orders", None, "a\0b");
        assert!(nul.as_str().starts_with("sha256,") && nul != event_id("orders", None, "a\0c"));
        let long = event_id("orders", None, &"x".repeat(MAX_EVENT_ID_LENGTH));
        assert_eq!(long.as_str().len(), "sha256,".len() + 64);
        assert_ne!(long, event_id("orders", None, &"x".repeat(MAX_EVENT_ID_LENGTH + 1)));
    }

    #[test]
    fn base32_digits_are_those_of_the_bits() {
        let digits: String = (0..6).map(|index| base32_digit(&[0b0000_1000, 0b1011_1111, 0xff, 0, 0], index)).collect();
        assert_eq!(digits, "12zzy0");
    }

    proptest! {
        #[test]
        fn message_ids_parse_and_differ_by_endpoint(id in ".*", other in "[0-9a-z]{26}") {
            let event = event_id("source", None, &id);
            let here = message_id(&event, &endpoint());
            prop_assert_eq!(here.as_str().parse::<MessageId>(), Ok(here.clone()));
            prop_assert_ne!(here, message_id(&event, &EndpointId::from_trusted(format!("ep_{other}"))));
        }
    }
}
