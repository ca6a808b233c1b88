//! Deliveries that can never be sent because they are too large: a dead letter without the body.

use bytes::Bytes;
use postrider_domain::{
    Delivery, DeliveryEvent, DeliveryEventBody, ErrorClass, Routing, Timestamp,
    delivery_event::{DeadLetter, DeadLettered},
};

/// The dead letter of `delivery` without its body, and what the log is told. `message` says how large it was.
pub(super) fn too_large(
    delivery: Delivery,
    routing: &Routing,
    at: Timestamp,
    message: String,
) -> (DeadLetter, DeliveryEvent) {
    let error = ErrorClass::PayloadTooLarge;
    let body = DeliveryEventBody::DeadLettered(DeadLettered { error, error_message: Some(message.clone()) });
    let event = DeliveryEvent::of(&delivery, routing, at, body);
    let letter = DeadLetter {
        delivery: Delivery { body: Bytes::new(), ..delivery },
        attempts: 0,
        error,
        error_message: Some(message),
        last_status: None,
        response_excerpt: None,
        matched_at: routing.matched_at,
        first_attempt_at: None,
        at,
        traceparent: routing.traceparent.clone(),
    };
    (letter, event)
}
