//! `postrider deliveries`.

use postrider_control::clock;
use postrider_domain::Timestamp;
use serde_json::{Value, json};

use super::print::{self, Column};
use crate::{
    cli::{Deliveries, DeliveriesCommand, DeliveryFilter, Moment},
    failure::Failure,
    server_api::ServerApi,
};

const COLUMNS: &[Column] = &[
    ("MESSAGE", "/message_id"),
    ("STATUS", "/status"),
    ("TYPE", "/event_type"),
    ("ENDPOINT", "/endpoint_id"),
    ("ATTEMPT", "/attempt"),
    ("HTTP", "/last_status"),
    ("ERROR", "/last_error"),
    ("UPDATED", "/updated_at"),
];

/// Runs one of the commands below `deliveries`.
pub async fn run(arguments: &Deliveries) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let json = arguments.server.json;
    match &arguments.command {
        DeliveriesCommand::List { filter, limit } => {
            print::list(&api.list("/v1/deliveries", &query(filter, clock::now()), *limit).await?, json, COLUMNS);
        }
        DeliveriesCommand::Get { id } => {
            let message = api.get(&format!("/v1/deliveries/{id}")).await?;
            if json { print::value(&message) } else { show(&message) }
        }
        DeliveriesCommand::Retry { id } => act(&api, id, "retry", json).await?,
        DeliveriesCommand::Cancel { id } => act(&api, id, "cancel", json).await?,
    }
    Ok(())
}

async fn act(api: &ServerApi, id: &str, action: &str, json: bool) -> Result<(), Failure> {
    let answer = api.post(&format!("/v1/deliveries/{id}/{action}"), &json!({})).await?;
    print::one(&answer, json);
    Ok(())
}

/// A filter as the API takes it, as of `now`.
pub fn query(filter: &DeliveryFilter, now: Timestamp) -> [(&'static str, Option<String>); 8] {
    let at = |moment: Option<Moment>| moment.map(|moment| moment.from(now).to_rfc3339());
    [
        ("endpoint_id", filter.endpoint.clone()),
        ("event_type", filter.event_type.clone()),
        ("status", filter.status.clone()),
        ("error_class", filter.error.clone()),
        ("http_status", filter.http_status.clone()),
        ("event_id", filter.event.clone()),
        ("since", at(filter.since)),
        ("until", at(filter.until)),
    ]
}

/// A message, run by run and attempt by attempt.
fn show(message: &Value) {
    for run in message["runs"].as_array().into_iter().flatten() {
        print::one(&run["delivery"], false);
        for attempt in run["attempts"].as_array().into_iter().flatten() {
            let cell = |name: &str| print::cell(attempt.get(name));
            print::line(format_args!(
                "  attempt {}  {}  {} ms  {}  {}  {}",
                cell("number"),
                cell("started_at"),
                cell("duration_ms"),
                cell("status"),
                cell("error"),
                cell("error_message"),
            ));
        }
    }
}
