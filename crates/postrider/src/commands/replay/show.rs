//! How replays are printed.

use postrider_domain::replay::{ReplayJob, ReplayProgress, ReplaySource};
use serde_json::{Value, json};

use crate::cli::Output;

/// Prints many, a line each.
pub fn list(replays: &[postrider_control::replays::Replay], output: Output) {
    for replay in replays {
        let (job, progress) = (&replay.job, replay.progress.as_ref());
        match output {
            Output::Json => println!("{}", json(job, progress)),
            Output::Text => println!(
                "{}  {:<9}  {:<12}  {}  {}{}",
                job.id,
                state(progress),
                kind(&job.source),
                job.created_at,
                counts(progress),
                if job.dry_run { "  (dry run)" } else { "" }
            ),
        }
    }
}

/// Prints one.
pub fn one(job: &ReplayJob, progress: Option<&ReplayProgress>, output: Output) {
    if output == Output::Json {
        println!("{}", json(job, progress));
        return;
    }
    println!("{}  {}{}", job.id, kind(&job.source), if job.dry_run { " (dry run)" } else { "" });
    println!("made      {} by {}, at most {} a second", job.created_at, job.created_by, job.rate_per_second);
    println!("state     {}", state(progress));
    if let Some(progress) = progress {
        println!("progress  {}", counts(Some(progress)));
        if let Some(message) = &progress.message {
            println!("          {message}");
        }
        samples(progress);
    }
}

/// Prints the sample, if there is one.
pub fn samples(progress: &ReplayProgress) {
    for sample in &progress.sample {
        println!("  {sample}");
    }
}

/// All of a replay, in one line.
pub fn json(job: &ReplayJob, progress: Option<&ReplayProgress>) -> String {
    let mut job = serde_json::to_value(job).expect("a job is JSON");
    let progress = progress.map(|progress| {
        let mut value = serde_json::to_value(progress).expect("progress is JSON");
        let sample: Vec<Value> =
            progress.sample.iter().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))).collect();
        value["sample"] = json!(sample);
        value
    });
    job["progress"] = json!(progress);
    job.to_string()
}

/// What is replayed, in a word.
pub fn kind(source: &ReplaySource) -> &'static str {
    match source {
        ReplaySource::DeadLetters(_) => "dead-letters",
        ReplaySource::Rejected(_) => "rejected",
        ReplaySource::Backfill(_) => "backfill",
    }
}

fn state(progress: Option<&ReplayProgress>) -> &'static str {
    progress.map_or("waiting", |progress| progress.state.as_str())
}

/// The counts, for people.
pub fn counts(progress: Option<&ReplayProgress>) -> String {
    let Some(progress) = progress else { return "not begun".to_owned() };
    let mut text = format!("{} read, {} wanted, {} sent", progress.seen, progress.matched, progress.sent);
    if progress.unavailable > 0 {
        text += &format!(", {} unavailable", progress.unavailable);
    }
    if progress.remaining > 0 {
        text += &format!(", {} to read", progress.remaining);
    }
    if let Some(seconds) = progress.seconds_left.and_then(|seconds| u64::try_from(seconds).ok()).filter(|it| *it > 0) {
        text += &format!(", about {} left", humantime::format_duration(std::time::Duration::from_secs(seconds)));
    }
    text
}
