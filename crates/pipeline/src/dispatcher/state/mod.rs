//! What the owner of a partition remembers of its endpoints, in a journal that outlives it.
//!
//! ```text
//! Reads:        postrider.endpoint-state   (key: endpoint id, and #term)
//! Writes:       postrider.endpoint-state, postrider.rejected
//! Commits when: nothing is committed: it is read from its beginning by each owner
//! On failure:   an unknown schema holds the partition; what can't be read, or was written by an owner that had been
//!               replaced, makes its endpoint one that holds deliveries
//! ```

mod budget;
mod entry;
mod journal;
mod known;
mod restore;
mod schedule;
#[cfg(test)]
mod tests;

pub(super) use budget::StateBudget;
pub(crate) use entry::Form;
pub(super) use journal::{Acknowledged, Journal};
pub use restore::RestoreError;
pub(crate) use restore::inherit;
pub(super) use restore::restore;
pub(super) use schedule::Urgency;
