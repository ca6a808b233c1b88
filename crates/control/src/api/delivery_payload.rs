//! What a delivery sends, as the API shows it.

use poem_openapi::{Object, types::Example};
use postrider_domain::{Delivery, delivery::Header, masking::shown_header};

use super::{
    delivery_types::{NamedValue, named_values},
    explain_types::{Encoding, written},
};

/// What a delivery sends, rendered when its event was matched; what belongs to the endpoint (URL, own headers,
/// signature) is added with each attempt.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct DeliveryPayload {
    /// The message's id, sent as `webhook-id`.
    message_id: String,
    /// Which run of the message.
    run: String,
    /// The request's method.
    method: String,
    /// What is appended to the path of the endpoint's URL, percent-escaped; empty for nothing.
    path_suffix: String,
    /// The media type of the body.
    content_type: String,
    /// Headers that were rendered with the body; `***` stands for a value that is secret by its header's name.
    headers: Vec<NamedValue>,
    /// How `body` is written here.
    encoding: Encoding,
    /// The body, to the byte.
    body: String,
}

impl From<Delivery> for DeliveryPayload {
    fn from(delivery: Delivery) -> Self {
        let shown = |header: &Header| shown_header(&header.name, &header.value, false);
        let (encoding, body) = written(&delivery.body);
        Self {
            message_id: delivery.message_id.to_string(),
            run: delivery.run.to_string(),
            method: delivery.method.as_str().to_owned(),
            path_suffix: delivery.path_suffix,
            content_type: delivery.content_type,
            headers: named_values(delivery.headers.iter().map(shown).collect()),
            encoding,
            body,
        }
    }
}

impl Example for DeliveryPayload {
    fn example() -> Self {
        Self {
            message_id: "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z".to_owned(),
            run: "0".to_owned(),
            method: "POST".to_owned(),
            path_suffix: String::new(),
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            encoding: Encoding::Utf8,
            body: r#"{"type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","data":{"order_id":"ord_1042"}}"#
                .to_owned(),
        }
    }
}
