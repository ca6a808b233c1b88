use std::time::SystemTime;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether `body` was signed with `secret` (`whsec_…`) in the last five minutes.
fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = text("x-webhook-timestamp");
    let now: DateTime<Utc> = SystemTime::now().into();
    match DateTime::parse_from_rfc3339(timestamp) {
        Ok(at) if (now - at.to_utc()).num_seconds().abs() <= 300 => {}
        _ => return false,
    }
    let Ok(key) = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")) else { return false };
    // Several signatures are there while the secret is being rotated: one is enough.
    text("x-webhook-signature").split(',').filter_map(|signature| signature.strip_prefix("v1=")).any(|code| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key will do");
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(body);
        hex::decode(code).is_ok_and(|code| mac.verify_slice(&code).is_ok())
    })
}
