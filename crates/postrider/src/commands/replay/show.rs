//! How replays are printed.

use std::time::Duration;

use postrider_domain::replay::{ReplayJob, ReplayProgress, ReplaySource};
use serde_json::{Value, json};

/// Prints many, a line each.
pub fn list(replays: &[postrider_control::replays::Replay], as_json: bool) {
    for replay in replays {
        let (job, progress) = (&replay.job, replay.progress.as_ref());
        if as_json {
            println!("{}", json(job, progress));
            continue;
        }
        println!(
            "{}  {:<9}  {:<12}  {}  {}{}",
            job.id,
            state(progress),
            kind(&job.source),
            job.created_at,
            counts(progress),
            if job.dry_run { "  (dry run)" } else { "" }
        );
    }
}

/// Prints one.
pub fn one(job: &ReplayJob, progress: Option<&ReplayProgress>, as_json: bool) {
    if as_json {
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
    let left = progress.seconds_left.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let left = left.map(|seconds| humantime::format_duration(Duration::from_secs(seconds)));
    [
        Some(format!("{} read, {} wanted, {} sent", progress.seen, progress.matched, progress.sent)),
        (progress.unavailable > 0).then(|| format!("{} unavailable", progress.unavailable)),
        (progress.remaining > 0).then(|| format!("{} to read", progress.remaining)),
        left.map(|left| format!("about {left} left")),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        JobId, Timestamp,
        replay::{ReplayState, Tally},
    };

    use super::*;

    #[test]
    fn only_what_there_is_to_say_is_said() {
        let told =
            Tally::new(JobId::from_trusted("job_1"), None, Timestamp::EPOCH).at(ReplayState::Done, Timestamp::EPOCH);
        assert_eq!(counts(None), "not begun");
        assert_eq!(counts(Some(&told)), "0 read, 0 wanted, 0 sent");
        let told = ReplayProgress {
            seen: 5,
            matched: 3,
            sent: 2,
            unavailable: 1,
            remaining: 9,
            seconds_left: Some(61),
            ..told
        };
        assert_eq!(counts(Some(&told)), "5 read, 3 wanted, 2 sent, 1 unavailable, 9 to read, about 1m 1s left");
    }
}
