//! Replay jobs: what the command line and the API do with the records of `postrider.jobs` and `postrider.progress`.
//! Needs Kafka alone.

mod error;
mod follow;
mod freeze;
mod jobs;
mod new;
mod store;
mod subject;

pub use error::ReplayError;
pub use follow::Following;
pub use jobs::{KafkaReplayJobs, ReplayJobs, SourceOf};
pub use new::{BackfillOf, NewReplay, Source, What};
pub use store::{Replay, Replays};
