//! `bench isolation`: what one endpoint that hangs does to the other ninety-nine.

use std::time::Duration;

use serde_json::json;

use crate::deployment::{Deployment, Plan};
use crate::loader::Batch;
use crate::report::{Latencies, millis, table, verdict};
use crate::servers::Servers;
use crate::sink::{Receipt, Sink};
use crate::stopwatch::Stopwatch;

const ENDPOINTS: usize = 100;
const HANGING: usize = 0;
const DATA_BYTES: usize = 900;
const PAIRS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);
/// How much later the healthy may be beside a hanging one: so much, or so many percent, whichever is more.
const TOLERANCE: Duration = Duration::from_millis(5);
const TOLERANCE_PERCENT: u32 = 120;

/// A deployment under load, one endpoint of which hangs or not.
struct Scenario {
    plan: Plan,
    per_second: u32,
    seconds: u32,
}

/// p50 and p99 of the healthy endpoints.
#[derive(Debug, Clone, Copy)]
struct Run {
    p50: Duration,
    p99: Duration,
}

/// Two runs, one after the other, without and with the hanging endpoint.
#[derive(Debug, Clone, Copy)]
struct Pair {
    without: Run,
    with: Run,
}

impl Pair {
    /// How late the healthy may be.
    fn limit(&self) -> Duration {
        (self.without.p99 * TOLERANCE_PERCENT / 100).max(self.without.p99 + TOLERANCE)
    }

    /// By how many microseconds the limit is exceeded; negative if it is kept.
    fn excess(&self) -> i128 {
        let micros = |duration: Duration| i128::try_from(duration.as_micros()).expect("latencies are short");
        micros(self.with.p99) - micros(self.limit())
    }
}

/// Measures, prints, and answers whether the healthy stay within the rule, in the median of the pairs.
pub async fn run() -> anyhow::Result<bool> {
    let servers = Servers::start().await?;
    let plan = |prefix, partitions, timeout_ms: u32| Plan {
        prefix,
        partitions,
        endpoints: ENDPOINTS,
        endpoint: json!({"timeout_ms": timeout_ms}),
        data_bytes: DATA_BYTES,
    };
    let scenarios = [
        Scenario { plan: plan("moderate", 6, 30_000), per_second: 200, seconds: 12 },
        // All in one partition: what was begun and does not end stands before 700 others a second, until it times out.
        Scenario { plan: plan("fast", 1, 60_000), per_second: 700, seconds: 75 },
    ];
    let mut kept = true;
    for scenario in scenarios {
        let pairs = measure(&servers, &scenario).await?;
        kept &= print(&scenario, pairs);
    }
    servers.stop().await?;
    Ok(kept)
}

async fn measure(servers: &Servers, scenario: &Scenario) -> anyhow::Result<Vec<Pair>> {
    let Scenario { plan, per_second, seconds } = scenario;
    println!("{per_second}/s, {} partitions, time-out {} …", plan.partitions, plan.endpoint["timeout_ms"]);
    let stopwatch = Stopwatch::start();
    let events = (per_second * seconds) as usize * PAIRS * 3 + ENDPOINTS * 100;
    let sink = Sink::start(stopwatch, ENDPOINTS, events).await?;
    let mut deployment = Deployment::start(servers, &sink, stopwatch, plan.clone()).await?;
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        let without = one(&mut deployment, &sink, scenario, false).await?;
        let with = one(&mut deployment, &sink, scenario, true).await?;
        println!("  p99 {} without, {} with", millis(without.p99), millis(with.p99));
        pairs.push(Pair { without, with });
    }
    deployment.stop().await?;
    Ok(pairs)
}

/// One run, on a process of its own.
async fn one(deployment: &mut Deployment, sink: &Sink, scenario: &Scenario, hangs: bool) -> anyhow::Result<Run> {
    deployment.stop().await?;
    deployment.resume().await?;
    // What the former run left for the endpoint that hung is not this run's.
    deployment.replace_endpoint(sink, HANGING).await?;
    deployment.warm_up(sink).await?;
    sink.hang(HANGING, hangs);
    let count = (scenario.per_second * scenario.seconds) as usize;
    deployment.loader.write_at(Batch { count, endpoints: ENDPOINTS }, scenario.per_second).await?;
    let healthy = count - if hangs { count.div_ceil(ENDPOINTS) } else { 0 };
    sink.wait_for(healthy as u64, PATIENCE).await?;
    sink.hang(HANGING, false);
    let receipts = sink.take_receipts();
    let of_the_healthy = |receipt: &&Receipt| receipt.endpoint as usize != HANGING;
    let latencies = Latencies::of(receipts.iter().filter(of_the_healthy));
    Ok(Run { p50: latencies.per_mille(500), p99: latencies.per_mille(990) })
}

fn print(scenario: &Scenario, mut pairs: Vec<Pair>) -> bool {
    let mut figures =
        table(&["pair", "p50 without", "p50 with", "p99 without", "p99 with", "ratio", "limit", "verdict"]);
    for (number, pair) in pairs.iter().enumerate() {
        let ratio = pair.with.p99.as_secs_f64() / pair.without.p99.as_secs_f64();
        figures.add_row([
            (number + 1).to_string(),
            millis(pair.without.p50),
            millis(pair.with.p50),
            millis(pair.without.p99),
            millis(pair.with.p99),
            format!("{ratio:.2}×"),
            millis(pair.limit()),
            verdict(pair.excess() <= 0).to_owned(),
        ]);
    }
    pairs.sort_by_key(Pair::excess);
    let kept = pairs[pairs.len() / 2].excess() <= 0;
    let Scenario { plan, per_second, .. } = scenario;
    println!(
        "\n{per_second}/s, one of {ENDPOINTS} endpoints hangs, time-out {} ms: {} in the median\n{figures}\n",
        plan.endpoint["timeout_ms"],
        verdict(kept),
    );
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_a_fifth_or_five_milliseconds_whichever_is_more() {
        let run = |millis| Run { p50: Duration::ZERO, p99: Duration::from_millis(millis) };
        for (without, with, kept) in [(10, 15, true), (10, 16, false), (100, 120, true), (100, 121, false)] {
            let pair = Pair { without: run(without), with: run(with) };
            assert_eq!(pair.excess() <= 0, kept, "{without} and {with}");
        }
    }
}
