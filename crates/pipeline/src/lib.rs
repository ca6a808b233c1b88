//! The data plane: from a source record to a signed request, without Postgres.

mod burial;
pub mod directory;
pub mod dispatcher;
pub mod egress;
pub mod matcher;
mod outgoing;
pub mod replayer;
pub mod resize;
pub mod retrier;
pub mod sink;
pub mod stage;
