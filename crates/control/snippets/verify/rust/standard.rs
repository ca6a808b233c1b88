use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether `body` was signed with `secret` (`whsec_…`) in the last five minutes.
fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if timestamp.parse::<u64>().map_or(true, |seconds| now.abs_diff(seconds) > 300) {
        return false;
    }
    let Ok(key) = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")) else { return false };
    // Several signatures are there while the secret is being rotated: one is enough.
    text("webhook-signature").split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|code| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key will do");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        BASE64_STANDARD.decode(code).is_ok_and(|code| mac.verify_slice(&code).is_ok())
    })
}
