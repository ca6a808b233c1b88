//! `postrider events`.

use serde_json::json;

use super::print;
use crate::{
    cli::{Events, EventsCommand},
    failure::Failure,
    server_api::ServerApi,
};

/// Runs one of the commands below `events`.
pub async fn run(arguments: &Events) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let EventsCommand::Publish { event_type, data, id, subject } = &arguments.command;
    let mut event = json!({"type": event_type, "data": print::json_argument(data)?});
    for (name, value) in [("id", id), ("subject", subject)] {
        if let Some(value) = value {
            event[name] = json!(value);
        }
    }
    print::one(&api.post("/v1/events", &event).await?, arguments.server.json);
    Ok(())
}
