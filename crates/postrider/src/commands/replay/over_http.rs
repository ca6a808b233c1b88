//! `postrider replay` at a running server: the same over its API, for who can't reach its Kafka.

use anyhow::anyhow;
use postrider_control::clock;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::server::{
    print::{self, Column, cell},
    tail::{INTERVAL, patiently},
};
use crate::{
    cli::{BackfillArguments, DeadLetterArguments, JobArguments, Moment, Replay, RunArguments, Server},
    failure::Failure,
    server_api::ServerApi,
};

/// More than are kept.
const MAX_REPLAYS: usize = 100_000;

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("STATE", "/state"),
    ("KIND", "/kind"),
    ("DRY RUN", "/dry_run"),
    ("WANTED", "/progress/matched"),
    ("SENT", "/progress/sent"),
    ("CREATED", "/created_at"),
];

/// Runs one of the commands below `replay`.
pub async fn run(command: &Replay, server: &Server) -> Result<(), Failure> {
    let api = ServerApi::new(server)?;
    let json = server.json;
    match command {
        Replay::DeadLetters(arguments) => {
            let made = api.post("/v1/dead-letters/redrive", &redrive(arguments)).await?;
            watch(&api, made, &arguments.run, json).await
        }
        Replay::Backfill(arguments) => {
            let made = api.post("/v1/replays/backfill", &backfill(arguments)).await?;
            watch(&api, made, &arguments.run, json).await
        }
        Replay::Rejected(_) => Err(Failure::Usage(
            "rejected records belong to no tenant, and the API has none of them: leave --url (POSTRIDER_URL) out, so \
             that Kafka is worked on"
                .to_owned(),
        )),
        Replay::List => {
            print::list(&api.list("/v1/replays", &[], MAX_REPLAYS).await?, json, COLUMNS);
            Ok(())
        }
        Replay::Show(JobArguments { id }) => {
            print::one(&api.get(&format!("/v1/replays/{id}")).await?, json);
            Ok(())
        }
        Replay::Pause(arguments) => direct(&api, arguments, "pause", json).await,
        Replay::Resume(arguments) => direct(&api, arguments, "resume", json).await,
        Replay::Cancel(arguments) => direct(&api, arguments, "cancel", json).await,
    }
}

async fn direct(api: &ServerApi, arguments: &JobArguments, what: &str, json: bool) -> Result<(), Failure> {
    print::one(&api.post(&format!("/v1/replays/{}/{what}", arguments.id), &json!({})).await?, json);
    Ok(())
}

fn redrive(arguments: &DeadLetterArguments) -> Value {
    let mut input = how(&arguments.run, arguments.since, arguments.until);
    if !arguments.messages.is_empty() {
        input["message_ids"] = json!(arguments.messages.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    set(&mut input, "endpoint_id", arguments.endpoint.as_ref());
    set(&mut input, "event_type", arguments.event_type.as_ref());
    set(&mut input, "error_class", arguments.error.as_ref());
    input
}

fn backfill(arguments: &BackfillArguments) -> Value {
    let mut input = how(&arguments.run, Some(arguments.since), arguments.until);
    set(&mut input, "source", Some(&arguments.source));
    set(&mut input, "topic", arguments.topic.as_ref());
    set(&mut input, "subscription_id", arguments.subscription.as_ref());
    set(&mut input, "endpoint_id", arguments.endpoint.as_ref());
    input
}

fn how(run: &RunArguments, since: Option<Moment>, until: Option<Moment>) -> Value {
    let mut input = json!({ "dry_run": run.dry_run, "rate_per_second": run.rate });
    let at = |moment: Moment| moment.from(clock::now()).to_rfc3339();
    set(&mut input, "since", since.map(at).as_ref());
    set(&mut input, "until", until.map(at).as_ref());
    input
}

fn set(input: &mut Value, name: &str, value: Option<&impl ToString>) {
    if let Some(value) = value {
        input[name] = json!(value.to_string());
    }
}

/// Watches a replay until it ends or the user has seen enough.
async fn watch(api: &ServerApi, mut replay: Value, run: &RunArguments, json: bool) -> Result<(), Failure> {
    let id = cell(replay.get("id"));
    if run.detach {
        if json {
            print::line(&replay);
        } else {
            print::line(&id);
        }
        return Ok(());
    }
    eprintln!("replay {id}");
    let path = format!("/v1/replays/{id}");
    let mut told = Value::Null;
    while !matches!(replay["state"].as_str(), Some("done" | "failed" | "cancelled")) {
        tokio::select! {
            () = sleep(INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => {
                eprintln!(
                    "no longer watching; it goes on. Look: postrider replay show {id}; end it: postrider replay cancel {id}"
                );
                return Ok(());
            }
        }
        replay = patiently(async || api.get(&path).await).await?;
        if replay["progress"] != told {
            told = replay["progress"].clone();
            if json { print::line(&replay) } else { eprintln!("{}", progress(&replay)) }
        }
    }
    if !json {
        print::line(progress(&replay));
        for sample in replay["progress"]["sample"].as_array().into_iter().flatten() {
            print::line(format_args!("  {sample}"));
        }
    }
    match replay["state"].as_str() {
        Some("done") => Ok(()),
        state => {
            let why = cell(replay.pointer("/progress/message"));
            Err(anyhow!("replay {id} ended as {}: {why}", state.unwrap_or_default()).into())
        }
    }
}

/// How far it has come, in a line.
fn progress(replay: &Value) -> String {
    let count = |name: &str| replay["progress"][name].as_i64().unwrap_or_default();
    let unavailable = match count("unavailable") {
        0 => String::new(),
        some => format!(", {some} unavailable"),
    };
    let state = cell(replay.get("state"));
    format!("{state}: {} read, {} wanted, {} sent{unavailable}", count("seen"), count("matched"), count("sent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_there_is() {
        let waiting = json!({"id": "job_1", "state": "waiting", "progress": null});
        assert_eq!(progress(&waiting), "waiting: 0 read, 0 wanted, 0 sent");
        let done = json!({"state": "done", "progress": {"seen": 5, "matched": 3, "sent": 2, "unavailable": 1}});
        assert_eq!(progress(&done), "done: 5 read, 3 wanted, 2 sent, 1 unavailable");
    }
}
