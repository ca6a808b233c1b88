//! Reads any number of a topic's partitions from positions of one's own choice, outside of any group.

mod cursor;
mod fake;
mod lookup;
mod queue;
mod reader;
#[cfg(test)]
mod tests;
mod thread;

pub use cursor::{CursorEvent, PartitionCursor, StartAt};
pub use fake::TestCursor;
pub use reader::PartitionReader;
