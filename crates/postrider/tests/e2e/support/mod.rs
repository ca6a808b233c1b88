//! What the tests stand on.

mod avro;
mod command;
mod deployment;
mod environment;
mod events;
mod harness;
mod hook;
mod running;
mod settings;
mod stream;
mod tenant;
mod topic;

pub use avro::{canonical_fingerprint, hex};
pub use command::{Finished, postrider};
pub use deployment::{Deployment, Service, binary};
pub use environment::Environment;
pub use events::{event, record};
pub use harness::{Context, Test, run};
pub(crate) use harness::{long_tests, tests};
pub use hook::Hook;
pub use running::Running;
pub use settings::Settings;
pub use stream::{Ledger, Stream, received, write_events};
pub use tenant::Tenant;
pub use topic::TopicReader;

/// How long a condition may take to come about that is there within a second or two on an idle machine.
pub const LIMIT: std::time::Duration = std::time::Duration::from_secs(80);
