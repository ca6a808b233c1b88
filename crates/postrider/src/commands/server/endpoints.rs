//! `postrider endpoints`.

use std::path::Path;

use serde_json::{Value, json};

use super::print::{self, Column};
use crate::{
    cli::{Endpoints, EndpointsCommand},
    failure::Failure,
    server_api::ServerApi,
};

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("URL", "/url"),
    ("ENABLED", "/enabled"),
    ("PAUSED", "/paused"),
    ("CREATED", "/created_at"),
];

/// Runs one of the commands below `endpoints`.
pub async fn run(arguments: &Endpoints) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let json = arguments.server.json;
    let at = |id: &str| format!("/v1/endpoints/{id}");
    let changed = match &arguments.command {
        EndpointsCommand::List { limit } => {
            print::list(&api.list("/v1/endpoints", &[], *limit).await?, json, COLUMNS);
            return Ok(());
        }
        EndpointsCommand::Delete { id } => return api.delete(&at(id)).await,
        EndpointsCommand::Get { id } => api.get(&at(id)).await?,
        EndpointsCommand::Create { name, target, event_types, file } => {
            let input = match file {
                Some(file) => print::json_argument(&file_argument(file))?,
                None => json!({"name": name, "url": target, "event_types": event_types}),
            };
            api.post("/v1/endpoints", &input).await?
        }
        EndpointsCommand::Update { id, changes } => api.patch(&at(id), &print::json_argument(changes)?).await?,
        EndpointsCommand::Pause { id } => api.post(&format!("{}/pause", at(id)), &json!({})).await?,
        EndpointsCommand::Resume { id, held } => api.post(&format!("{}/resume", at(id)), &resumption(held)).await?,
        EndpointsCommand::Enable { id, reason } => {
            api.post(&format!("{}/enable", at(id)), &state(reason.as_deref())).await?
        }
        EndpointsCommand::Disable { id, reason } => {
            api.post(&format!("{}/disable", at(id)), &state(reason.as_deref())).await?
        }
        EndpointsCommand::Test { id, event_type } => {
            let input = event_type.as_ref().map_or(json!({}), |event_type| json!({"event_type": event_type}));
            api.post(&format!("{}/test", at(id)), &input).await?
        }
    };
    print::one(&changed, json);
    Ok(())
}

fn file_argument(file: &Path) -> String {
    if file == Path::new("-") { "-".to_owned() } else { format!("@{}", file.display()) }
}

fn state(reason: Option<&str>) -> Value {
    reason.map_or(json!({}), |reason| json!({"reason": reason}))
}

fn resumption(held: &str) -> Value {
    if ["all", "none"].contains(&held) { json!({"held": held}) } else { json!({"held": {"since": held}}) }
}
