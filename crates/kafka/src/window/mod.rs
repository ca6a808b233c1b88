//! The settlement window of one partition: records are settled in any order, the contiguous prefix is committed, and
//! beside it what is done above. Which offsets are in doubt is this folder's business alone.

mod age;
mod metadata;
mod offsets;
mod shared;

pub(crate) use age::PrefixAge;
pub(crate) use shared::{Commit, Settled, SharedWindow, Start};

pub use metadata::CommitMetadata;
pub use shared::SettleToken;
