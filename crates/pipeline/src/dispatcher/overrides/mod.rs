//! Orders about deliveries that wait where nobody can reach them: cancelled, or sent ahead of their time.
//!
//! ```text
//! Reads:        postrider.overrides   (key: message id and run)
//! Writes:       postrider.overrides (tombstones of what has expired), postrider.rejected
//! Commits when: nothing is committed: every process reads it from its beginning
//! On failure:   an unknown schema holds the table and reports unready; corrupt bytes are rejected
//! ```

mod follower;
mod table;
#[cfg(test)]
mod tests;

pub(super) use follower::follow;
pub(super) use table::Overrides;
