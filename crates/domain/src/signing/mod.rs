//! Signing of requests: Standard Webhooks 1.0.0 by default, and two other styles that receivers ask for.
//!
//! Whatever the style, all of an endpoint's keys that have not expired sign, newest first, so that receivers can
//! change keys in their own time; where a style has room for one signature only, the newest key's is sent.

mod headers;
mod secret;
mod standard;
mod strength;
mod verify;

pub use headers::{NothingToSignWith, SignedParts, attempt_headers, signed_headers};
pub use secret::{InvalidSecret, PRIVATE_KEY_PREFIX, PUBLIC_KEY_PREFIX, SECRET_PREFIX, SigningSecret};
pub use standard::signature_header;
pub use strength::WeakSecret;
pub use verify::{VerifyError, verify, verify_hmac, verify_x_webhook};
