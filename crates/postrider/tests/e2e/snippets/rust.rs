//! The snippets in Rust: the very files that the API serves, compiled into the tests.

/// `axum`, in the standard style.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod standard {
    include!("../../../../control/snippets/receive/axum.rs");
    include!("../../../../control/snippets/verify/rust/standard.rs");
}

/// `axum`, in the `X-Webhook` style.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod x_webhook {
    include!("../../../../control/snippets/receive/axum.rs");
    include!("../../../../control/snippets/verify/rust/x_webhook.rs");
}

/// `axum`, in the plain style: compiled only, for the header's name is filled in when it is served.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "as integrators get it")]
pub mod hmac_style {
    include!("../../../../control/snippets/receive/axum.rs");
    include!("../../../../control/snippets/verify/rust/hmac.rs");
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
