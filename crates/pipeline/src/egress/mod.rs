//! Outgoing requests: names resolved and vetted where a connection is made, connections shared within a tenant only.

mod classify;
mod client;
mod connect;
mod handshake;
mod phases;
mod pools;
mod proxy;
mod request;
mod resolver;
mod streams;
mod tls;
mod wire;

pub use client::{Courier, EgressClient, EgressConfig};
pub use handshake::{Handshake, HandshakeAnswer};
pub use proxy::{InvalidProxy, Proxy};
pub use request::{Answer, Request};
pub use resolver::{ResolveError, VettedResolver};
pub use tls::{EndpointTls, InvalidTls};
