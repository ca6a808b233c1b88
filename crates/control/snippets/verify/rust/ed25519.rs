use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};

/// Whether `body` was signed with the key whose public half is `key` (`whpk_…`) in the last five minutes.
fn verify(key: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if timestamp.parse::<u64>().map_or(true, |seconds| now.abs_diff(seconds) > 300) {
        return false;
    }
    let bytes = BASE64_STANDARD.decode(key.trim_start_matches("whpk_")).unwrap_or_default();
    let Ok(public) = VerifyingKey::try_from(bytes.as_slice()) else { return false };
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    // Several signatures are there while the key is being rotated: one is enough.
    text("webhook-signature").split(' ').filter_map(|signature| signature.strip_prefix("v1a,")).any(|code| {
        let code = BASE64_STANDARD.decode(code).unwrap_or_default();
        Signature::from_slice(&code).is_ok_and(|code| public.verify_strict(&signed, &code).is_ok())
    })
}
