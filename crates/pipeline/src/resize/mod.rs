//! Moving to another number of partitions: the stages stand by while everything that is not done is copied.
//!
//! ```text
//! Reads:        postrider.deliveries, postrider.held and postrider.endpoint-state of the generation in use
//! Writes:       the same of the next generation; postrider.delivery-events: where held deliveries stand now
//! Commits when: nothing is committed; the layout names the next generation once everything is acknowledged
//! On failure:   the generation in use stays as it is; what was copied is not used, and copied anew into another one
//! ```
//!
//! The order of events: the layout says that a resize has begun. Every stage that is bound to a generation stops in
//! order and leaves its consumer group; that no such group has members is the confirmation, given by the brokers: it
//! covers processes that were killed (their sessions end) and those that were frozen (they can commit nothing any
//! more, so that what they still write is done again). A member that joins late asks the layout before it works. What
//! the dispatchers have not settled of `deliveries` is copied like what is held, so nobody has to wait until slow
//! endpoints have taken it.

mod mover;
mod stand_by;
#[cfg(test)]
mod tests;
mod undone;

pub use mover::{MoveError, Moved, Mover, Source};
pub use stand_by::stand_by;
