//! The client of deliveries against real sockets on the loopback interface.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connections;
mod ended;
mod failures;
mod http2;
mod proxy;
mod responses;
mod support;
