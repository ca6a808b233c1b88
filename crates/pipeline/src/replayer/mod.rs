//! Replayer: delivers again what ended in the dead-letter queue or was rejected, and delivers what came before its
//! subscription.
//!
//! ```text
//! Reads:        postrider.jobs, postrider.progress; a job's source: postrider.dlq, postrider.rejected or a topic of
//!               events; of dead letters that could not be mapped, the records that their events came in
//! Writes:       postrider.deliveries, then the entry's mark to postrider.dlq; postrider.progress; what can't be read
//!               to postrider.rejected
//! Commits when: never the last record of a partition of jobs: the partition is read whole by each of its owners. A
//!               job's own position is in its progress, and moves past what is acknowledged only
//! On failure:   a job that can't go on says so in its progress; what can't be written ends the process
//! ```
//!
//! Owning a partition of jobs is owning its jobs. Each runs as a task of its own, off the poll thread, and stops
//! feeding at once when it is paused, cancelled, or its partition goes elsewhere; the process that takes it up goes on
//! from its last progress and makes the same runs of the same messages.

mod backfill;
mod dead_letters;
mod desired;
mod finding;
mod gate;
mod in_flight;
mod job;
mod jobs;
mod logs;
mod matched_from;
mod originals;
mod partition;
mod reading;
mod rejected;
mod service;
mod shared;
mod source;
mod table;
#[cfg(test)]
mod tests;

pub use logs::{KafkaLogs, LogReader, Logs};
pub use service::{Replayer, ReplayerDeps};
