//! The request of one attempt: signed now, with the headers that its endpoint, its body and its attempt ask for.

use std::{borrow::Cow, sync::Arc};

use postrider_domain::{
    Delivery, Endpoint, ErrorClass, Routing, Timestamp,
    egress::Url,
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
    if let Some(limit) = endpoint.settings.max_payload_bytes
        && u32::try_from(delivery.body.len()).is_ok_and(|bytes| bytes > limit)
    {
        let bytes = delivery.body.len();
        let message = format!("the body has {bytes} bytes, and the endpoint takes at most {limit}");
        return Err(Unusable { class: ErrorClass::PayloadTooLarge, message });
    }
    let parts = SignedParts { message_id: &delivery.message_id, endpoint_id: &endpoint.id, now, body: &delivery.body };
    let signed = signed_headers(&endpoint.settings.signing, &opened.signing_secrets(now), parts);
    let mut headers = signed.map_err(|error| configuration(error.to_string()))?;
    headers.extend(attempt_headers(routing.attempt, routing.first_attempt_at));
    headers.extend(opened.headers.iter().map(|(name, value)| (Cow::Owned(name.clone()), value.clone())));
    // What an event brings never stands in for a signature or for what the endpoint's owner set.
    for header in &delivery.headers {
        if headers.iter().all(|(taken, _)| *taken != header.name) {
            headers.push((Cow::Owned(header.name.clone()), header.value.clone()));
        }
    }
    Ok(Request {
        tenant: endpoint.tenant.clone(),
        method: delivery.method,
        url: url(opened, &delivery.path_suffix),
        tls: opened.tls.clone(),
        content_type: delivery.content_type.clone(),
        headers,
        body: delivery.body.clone(),
        deadline: endpoint.timeout(),
    })
}

/// The endpoint's URL with `suffix` appended to its path; host and query stay.
fn url(opened: &Opened, suffix: &str) -> Arc<Url> {
    if suffix.is_empty() {
        return opened.url.clone();
    }
    let mut url = Url::clone(&opened.url);
    url.set_path(&format!("{}/{suffix}", opened.url.path().trim_end_matches('/')));
    Arc::new(url)
}

#[cfg(test)]
mod tests;
