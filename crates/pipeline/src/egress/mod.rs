//! Outgoing requests: names resolved and vetted where the connection is made, one client for all deliveries.

mod classify;
mod client;
mod resolver;

pub use client::{Answer, Courier, EgressClient, EgressConfig, Request};
pub use resolver::{ResolveError, VettedResolver};
