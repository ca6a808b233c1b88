//! The request of one attempt: signed now, with the headers that its endpoint, its body and its attempt ask for.

use std::borrow::Cow;

use postrider_domain::{
    Delivery, Endpoint, Routing, Timestamp,
    signing::{SignedParts, attempt_headers, signed_headers},
};

use super::opened::{Opened, Unusable, configuration};
use crate::egress::Request;

/// The request of the attempt that `routing` says is due, signed at `now` with the keys that are valid then.
pub(super) fn request(
    delivery: &Delivery,
    routing: &Routing,
    endpoint: &Endpoint,
    opened: &Opened,
    now: Timestamp,
) -> Result<Request, Unusable> {
    let parts = SignedParts { message_id: &delivery.message_id, endpoint_id: &endpoint.id, now, body: &delivery.body };
    let signed = signed_headers(&endpoint.settings.signing, &opened.signing_secrets(now), parts);
    let mut headers = signed.map_err(|error| configuration(error.to_string()))?;
    headers.extend(attempt_headers(routing.attempt, routing.first_attempt_at));
    let rendered = delivery.headers.iter().map(|header| (Cow::Owned(header.name.clone()), header.value.clone()));
    headers.extend(rendered);
    headers.extend(opened.headers.iter().map(|(name, value)| (Cow::Owned(name.clone()), value.clone())));
    Ok(Request {
        tenant: endpoint.tenant.clone(),
        url: opened.url.clone(),
        tls: opened.tls.clone(),
        content_type: delivery.content_type.clone(),
        headers,
        body: delivery.body.clone(),
        deadline: endpoint.timeout(),
    })
}

#[cfg(test)]
mod tests;
