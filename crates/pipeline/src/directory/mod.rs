//! Directory: what endpoints and subscriptions there are, as `postrider.config` tells it.
//!
//! Every process of the data plane reads the topic to its end before it takes work, and follows it.

mod book;
mod follower;
mod handle;
mod state;
mod tenants;

pub use handle::{Candidates, Directory, Lookup};
pub use state::Status;
