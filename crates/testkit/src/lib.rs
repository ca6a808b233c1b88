//! Starts, watches and breaks what Postrider runs with: Kafka, Postgres, a schema registry, receivers, DNS, and Postrider
//! itself.
//!
//! Everything listens on free ports of the loopback interface, keeps its files in a folder of its own, and ends with the
//! process that started it, even when that is killed.

mod api;
mod apicurio;
mod clock_shift;
pub mod demo;
mod dns;
mod folder;
mod http;
mod kafka;
mod postgres;
mod process;
mod python;
mod receiver;
pub mod usage;
mod wait;

pub use api::{Answer, ApiClient};
pub use apicurio::{APICURIO_VARIABLE, Apicurio};
pub use clock_shift::clock_shift;
pub use dns::DnsServer;
pub use folder::empty_folder;
pub use http::http_client;
pub use kafka::{JARS_VARIABLE, KafkaCluster};
pub use postgres::{create_test_database, dump_database};
pub use postrider_postgres::local::{LocalPostgres, Signal, free_port, run_script};
pub use process::{PostriderCommand, PostriderProcess};
pub use python::{PYTHON_VARIABLE, run_python};
pub use receiver::{
    Behaviour, Disorder, Impostor, Nonsense, Reach, Received, Receiver, TestCa, Verdict, compare, disorders,
};
pub use wait::eventually;
