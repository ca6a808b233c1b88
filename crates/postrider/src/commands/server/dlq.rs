//! `postrider dlq`: dead letters.

use serde_json::{Map, Value, json};

use super::print::{self, Column};
use crate::{
    cli::{DeadLetterFilter, Dlq, DlqCommand},
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
            print::list(&api.list("/v1/dead-letters", &query(filter), *limit).await?, json, COLUMNS);
        }
        DlqCommand::Get { id } => print::one(&api.get(&format!("/v1/dead-letters/{id}")).await?, json),
        DlqCommand::Redrive { filter, messages, dry_run, rate } => {
            let mut input = Map::new();
            for (name, value) in query(filter) {
                if let Some(value) = value {
                    input.insert(name.to_owned(), json!(value));
                }
            }
            if !messages.is_empty() {
                input.insert("message_ids".to_owned(), json!(messages));
            }
            input.insert("dry_run".to_owned(), json!(dry_run));
            input.insert("rate_per_second".to_owned(), json!(rate));
            print::one(&api.post("/v1/dead-letters/redrive", &Value::Object(input)).await?, json);
        }
    }
    Ok(())
}

fn query(filter: &DeadLetterFilter) -> [(&'static str, Option<&str>); 4] {
    [
        ("endpoint_id", filter.endpoint.as_deref()),
        ("event_type", filter.event_type.as_deref()),
        ("error_class", filter.error.as_deref()),
        ("since", filter.since.as_deref()),
    ]
}
