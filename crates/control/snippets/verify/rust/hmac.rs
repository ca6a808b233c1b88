use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether `body` was signed with `secret` (`whsec_…`). The age of a request is not signed.
fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let code = headers.get("{{header}}").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let code = if "{{encoding}}" == "hex" { hex::decode(code).ok() } else { BASE64_STANDARD.decode(code).ok() };
    let key = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).ok();
    let (Some(code), Some(key)) = (code, key) else { return false };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key will do");
    mac.update(body);
    mac.verify_slice(&code).is_ok()
}
