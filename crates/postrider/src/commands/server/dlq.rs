//! `postrider dlq`: dead letters.

use postrider_control::clock;
use postrider_domain::Timestamp;
use serde_json::{Value, json};

use super::print::{self, Column};
use crate::{
    cli::{DeadLetterFilter, Dlq, DlqCommand, Moment},
    failure::Failure,
    server_api::ServerApi,
};

const COLUMNS: &[Column] = &[
    ("MESSAGE", "/message_id"),
    ("STATE", "/state"),
    ("TYPE", "/event_type"),
    ("ENDPOINT", "/endpoint_id"),
    ("ATTEMPTS", "/attempts"),
    ("ERROR", "/error_class"),
    ("HTTP", "/last_status"),
    ("DIED", "/died_at"),
];

/// Runs one of the commands below `dlq`.
pub async fn run(arguments: &Dlq) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let json = arguments.server.json;
    match &arguments.command {
        DlqCommand::List { filter, limit } => {
            print::list(&api.list("/v1/dead-letters", &query(filter, clock::now()), *limit).await?, json, COLUMNS);
        }
        DlqCommand::Get { id } => print::one(&api.get(&format!("/v1/dead-letters/{id}")).await?, json),
        DlqCommand::Redrive { filter, messages, dry_run, rate } => {
            let mut input = selection(filter, messages, *dry_run);
            input["rate_per_second"] = json!(rate);
            print::one(&api.post("/v1/dead-letters/redrive", &input).await?, json);
        }
        DlqCommand::Purge { filter, messages, dry_run } => {
            let input = selection(filter, messages, *dry_run);
            print::one(&api.post("/v1/dead-letters/purge", &input).await?, json);
        }
    }
    Ok(())
}

/// Which dead letters something is done with, as the API takes it.
fn selection(filter: &DeadLetterFilter, messages: &[String], dry_run: bool) -> Value {
    let mut input = json!({ "dry_run": dry_run });
    for (name, value) in query(filter, clock::now()) {
        if let Some(value) = value {
            input[name] = json!(value);
        }
    }
    if !messages.is_empty() {
        input["message_ids"] = json!(messages);
    }
    input
}

fn query(filter: &DeadLetterFilter, now: Timestamp) -> [(&'static str, Option<String>); 5] {
    let at = |moment: Option<Moment>| moment.map(|moment| moment.from(now).to_rfc3339());
    [
        ("endpoint_id", filter.endpoint.clone()),
        ("event_type", filter.event_type.clone()),
        ("error_class", filter.error.clone()),
        ("since", at(filter.since)),
        ("until", at(filter.until)),
    ]
}
