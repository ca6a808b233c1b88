//! The snippets in Rust: the very files that the API serves, compiled into the tests.

/// `axum`, in the standard style.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod standard {
    include!("../../../../control/snippets/receive/axum.rs");
    include!("../../../../control/snippets/verify/rust/standard.rs");
}

/// `axum`, in the standard style, with an ed25519 key.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod ed25519 {
    include!("../../../../control/snippets/receive/axum.rs");
    include!("../../../../control/snippets/verify/rust/ed25519.rs");
}

/// `axum`, in the `X-Webhook` style.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod x_webhook {
    include!("../../../../control/snippets/receive/axum.rs");
    include!("../../../../control/snippets/verify/rust/x_webhook.rs");
}

/// `axum`, in the plain style, in hex; filled in by `build.rs`, as the API does it.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod hmac_hex {
    include!("../../../../control/snippets/receive/axum.rs");
    include!(concat!(env!("OUT_DIR"), "/hmac_hex.rs"));
}

/// The same in base64.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod hmac_base64 {
    include!("../../../../control/snippets/receive/axum.rs");
    include!(concat!(env!("OUT_DIR"), "/hmac_base64.rs"));
}

/// `reqwest`.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod http {
    include!("../../../../control/snippets/produce/http.rs");
}

/// `rdkafka`.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod kafka {
    include!("../../../../control/snippets/produce/kafka.rs");
}
