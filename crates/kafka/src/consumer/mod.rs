//! The stage consumer: a group member whose poll thread never blocks.

mod committer;
mod context;
mod gauges;
mod out_of_range;
mod paused;
mod poll_thread;
mod positions;
mod slot;
mod stage;
mod stream;
mod subscription;
#[cfg(test)]
mod tests;

pub use positions::{PositionSource, Positions};
pub use stage::{QueueLimits, StageConfig, StageConsumer};
pub use stream::{Inbound, PartitionStream, TestPartition};

pub use crate::window::SettleToken;
