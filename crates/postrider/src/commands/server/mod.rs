//! Commands that work on a running server, over its API.

mod deliveries;
mod dlq;
mod endpoints;
mod events;
mod keys;
mod listen;
pub mod print;
pub mod tail;

pub use deliveries::run as deliveries;
pub use dlq::run as dlq;
pub use endpoints::run as endpoints;
pub use events::run as events;
pub use keys::run as keys;
pub use listen::run as listen;
pub use tail::run as tail;
