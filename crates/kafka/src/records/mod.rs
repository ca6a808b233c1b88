//! How the domain's types stand in Avro, and which of them share a topic.

mod config_entry;
#[cfg(test)]
mod history;
mod mixed;
mod replay;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod wire;

pub use mixed::{DlqRecord, LogRecord, ProgressRecord, StateRecord};
pub(crate) use wire::SCHEMAS;
pub use wire::Wire;
