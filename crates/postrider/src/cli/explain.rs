//! The arguments of `postrider explain`.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use crate::config::BUILT_IN_SOURCE;

pub const EXAMPLES: &str = "\
Why did an endpoint not get this event?
  curl -s $API/v1/subscriptions/sub_… -H \"Authorization: Bearer $KEY\" > subscription.json
  postrider explain --subscription subscription.json event.json

The same with both at hand, for a program:
  echo '{\"event_types\":[\"order.*\"],\"filter\":{\"field\":\"data.total\",\"operator\":\"greater_than\",\"value\":100}}' > s.json
  echo '{\"type\":\"order.created\",\"data\":{\"total\":99.5}}' | postrider explain --subscription s.json --output json

Exit codes: 0 matched, 3 not matched, 1 failure, 2 wrong command line.";

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The subscription: a file with its JSON, as the API takes and gives it. event_types and filter count; tenant_id
    /// does if it is there; the rest is ignored.
    #[arg(long, value_name = "FILE")]
    pub subscription: PathBuf,
    /// The event: a file with its JSON, in plain JSON or structured CloudEvents, as in a source's topic; - reads
    /// standard input. If it names no tenant, it is the subscription's.
    #[arg(value_name = "EVENT", default_value = "-")]
    pub event: PathBuf,
    /// The name of the source that the event is taken to come from.
    #[arg(long, value_name = "NAME", default_value = BUILT_IN_SOURCE)]
    pub source: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}
