//! End to end: the `postrider` binary on a real Kafka, a real Postgres and real HTTP.
//!
//! Folders are named after features. Every test has topics and a database of its own and runs beside the others; it
//! waits for conditions with a deadline and asserts on what a user sees.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::similar_names, reason = "what a receiver has received")]

mod access;
mod api;
mod catalogue;
mod command_line;
mod delivering;
mod dev;
mod directory;
mod egress;
mod egress_gate;
mod endpoints;
mod faults;
mod formats;
mod holding;
mod isolation;
mod log;
mod matching;
mod ordering;
mod publishing;
mod replaying;
mod resizing;
mod retrying;
mod secrecy;
mod snippets;
mod sources;
mod speed;
mod start;
mod support;
mod templates;
mod verifying;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        speed::tests(),
        replaying::tests(),
        resizing::tests(),
        faults::tests(),
        ordering::tests(),
        holding::tests(),
        egress_gate::tests(),
        endpoints::tests(),
        delivering::tests(),
        isolation::tests(),
        directory::tests(),
        egress::tests(),
        formats::tests(),
        publishing::tests(),
        snippets::tests(),
        sources::tests(),
        retrying::tests(),
        secrecy::tests(),
        matching::tests(),
        templates::tests(),
        catalogue::tests(),
        command_line::tests(),
        log::tests(),
        access::tests(),
        verifying::tests(),
        api::tests(),
        start::tests(),
        dev::tests(),
    ];
    support::run(tests.into_iter().flatten().collect())
}
