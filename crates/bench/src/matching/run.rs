//! All sizes, and the targets.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::{
    one::{OneOptions, OneResult},
    workload::Mix,
};
use crate::report::table;

/// How often each size is measured; the median counts.
const ROUNDS: usize = 3;
const MATCHES_PER_EVENT: [usize; 2] = [1, 100];

/// At the largest size, as a multiple of the smallest.
const MAX_COST_RATIO: f64 = 2.0;
const MAX_EDIT_MICROS: f64 = 1_000.0;
const MAX_BYTES_EACH: f64 = 1_024.0;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct MatchOptions {
    /// Numbers of subscriptions; the first and the last are compared.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    pub subscriptions: Vec<usize>,
    /// Events for which index and linear scan are compared, at the last.
    #[arg(long, default_value_t = 100)]
    pub compared: usize,
    /// Where the random choices begin.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// One size, and its median.
struct Measured {
    subscriptions: usize,
    matches_per_event: usize,
    result: OneResult,
}

/// Measures, prints, and answers whether every target is met.
pub async fn run(options: &MatchOptions) -> anyhow::Result<bool> {
    let (Some(&smallest), Some(&largest)) = (options.subscriptions.first(), options.subscriptions.last()) else {
        anyhow::bail!("--subscriptions names no number")
    };
    ensure!(smallest >= 1_000, "--subscriptions: begin with 1000 at least, so that 100 can match one event");
    let one = |mix, subscriptions, matches_per_event, compared| OneOptions {
        mix,
        subscriptions,
        matches_per_event,
        compared,
        seed: options.seed,
    };
    let mut measured = Vec::new();
    for matches_per_event in MATCHES_PER_EVENT {
        let mut rounds: Vec<Vec<OneResult>> = vec![Vec::new(); options.subscriptions.len()];
        for round in 0..ROUNDS {
            for (&subscriptions, results) in options.subscriptions.iter().zip(&mut rounds) {
                println!("{subscriptions} subscriptions, {matches_per_event} matches per event, round {} …", round + 1);
                let compared = if subscriptions == largest && round == 0 { options.compared } else { 0 };
                results.push(measure(&one(Mix::Realistic, subscriptions, matches_per_event, compared)).await?);
            }
        }
        let medians = options.subscriptions.iter().zip(rounds);
        measured.extend(medians.map(|(&subscriptions, results)| Measured {
            subscriptions,
            matches_per_event,
            result: median(results),
        }));
    }
    let mut bytes_each = Vec::new();
    for (mix, tenants) in [(Mix::Equality, "of ten tenants"), (Mix::Lonely, "each of a tenant of its own")] {
        println!("{largest} subscriptions with one equality predicate, {tenants} …");
        bytes_each.push((tenants, measure(&one(mix, largest, 1, 0)).await?.bytes_each));
    }
    print(&measured, &bytes_each);
    Ok(targets(options, &measured, &bytes_each))
}

/// Measures one index in a process of its own.
async fn measure(options: &OneOptions) -> anyhow::Result<OneResult> {
    let mix = match options.mix {
        Mix::Realistic => "realistic",
        Mix::Equality => "equality",
        Mix::Lonely => "lonely",
    };
    let mut command = Command::new(std::env::current_exe().context("find this program's own path")?);
    command.args(["match-one", "--mix", mix]);
    for (name, value) in [
        ("--subscriptions", options.subscriptions),
        ("--matches-per-event", options.matches_per_event),
        ("--compared", options.compared),
    ] {
        command.args([name, &value.to_string()]);
    }
    command.args(["--seed", &options.seed.to_string()]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await;
    let output = output.context("run a measurement")?;
    ensure!(output.status.success(), "a measurement ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("read what a measurement says")
}

/// The result whose cost is the median, with the agreement of whichever compared.
fn median(mut results: Vec<OneResult>) -> OneResult {
    let agreed = results.iter().map(|result| result.agreed).max().unwrap_or_default();
    results.sort_by(|a, b| a.event_micros.total_cmp(&b.event_micros));
    OneResult { agreed, ..results[results.len() / 2] }
}

fn print(measured: &[Measured], bytes_each: &[(&str, f64)]) {
    let mut costs = table(&["subscriptions", "matches", "candidates", "per event", "hot: candidates", "per event"]);
    let mut edits = table(&["subscriptions", "matches", "edit: median", "p99", "slowest", "memory each", "built in"]);
    for Measured { subscriptions, matches_per_event, result } in measured {
        let hot = |of: fn(&super::one::Hot) -> String| result.hot.as_ref().map_or_else(|| "-".to_owned(), of);
        costs.add_row([
            subscriptions.to_string(),
            matches_per_event.to_string(),
            format!("{:.1}", result.candidates_per_event),
            format!("{:.2} µs", result.event_micros),
            hot(|hot| format!("{:.0}", hot.candidates_per_event)),
            hot(|hot| format!("{:.1} µs", hot.event_micros)),
        ]);
        edits.add_row([
            subscriptions.to_string(),
            matches_per_event.to_string(),
            format!("{:.1} µs", result.edits.median),
            format!("{:.1} µs", result.edits.p99),
            format!("{:.1} µs", result.edits.slowest),
            format!("{:.0} B", result.bytes_each),
            format!("{:.2} s", result.build_seconds),
        ]);
    }
    println!("\nMatching an event: parsing it, finding candidates, and evaluating their filters.\n{costs}\n{edits}");
    println!("Events of the hot type cost what all of its subscriptions' filters do: no index helps there.");
    for (tenants, bytes) in bytes_each {
        println!("One equality predicate each, {tenants}: {bytes:.0} B of resident memory a subscription.");
    }
    println!();
}

fn targets(options: &MatchOptions, measured: &[Measured], bytes_each: &[(&str, f64)]) -> bool {
    let mut all = true;
    let mut target = |name: &str, is: String, limit: String, met: bool| {
        all &= met;
        println!("target {name} {is} {limit} {}", if met { "ok" } else { "short" });
    };
    for matches_per_event in MATCHES_PER_EVENT {
        let mut of = measured.iter().filter(|it| it.matches_per_event == matches_per_event);
        let (Some(first), Some(last)) = (of.next(), of.next_back()) else { continue };
        let ratio = last.result.event_micros / first.result.event_micros;
        let name = format!("match-cost-{matches_per_event}-per-event");
        target(&name, format!("{ratio:.2}x"), format!("{MAX_COST_RATIO:.0}x"), ratio <= MAX_COST_RATIO);
    }
    let largest = options.subscriptions.last();
    let edits = measured.iter().filter(|it| Some(&it.subscriptions) == largest);
    let edit = edits.map(|it| it.result.edits.p99).fold(0.0, f64::max);
    target("edit-p99", format!("{edit:.1}us"), format!("{MAX_EDIT_MICROS:.0}us"), edit < MAX_EDIT_MICROS);
    let bytes = bytes_each.iter().map(|(_, bytes)| *bytes).fold(0.0, f64::max);
    target("memory-each", format!("{bytes:.0}B"), format!("{MAX_BYTES_EACH:.0}B"), bytes <= MAX_BYTES_EACH);
    let compared = options.compared * MATCHES_PER_EVENT.len();
    let agreed: usize = measured.iter().map(|it| it.result.agreed).sum();
    target("same-as-linear-scan", agreed.to_string(), compared.to_string(), agreed == compared);
    all
}
