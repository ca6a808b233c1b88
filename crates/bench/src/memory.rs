//! `bench memory`: whether resident memory depends on how much is waiting.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::deployment::{Deployment, Plan};
use crate::loader::Batch;
use crate::memory_watch::{Memory, MemoryWatch};
use crate::report::{mebibytes, table, verdict};
use crate::servers::Servers;
use crate::sink::Sink;
use crate::stopwatch::Stopwatch;

const ENDPOINTS: usize = 100;
const DATA_BYTES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);
/// How much more memory the large backlog may take, percent.
const TOLERANCE_PERCENT: u64 = 10;

/// What to compare.
#[derive(Debug, Clone, clap::Args)]
pub struct MemoryOptions {
    /// Deliveries of the small backlog.
    #[arg(long, default_value_t = 10_000)]
    pub small: usize,
    /// How often the small backlog is written and drained: peaks are compared after similar work.
    #[arg(long, default_value_t = 20)]
    pub rounds: usize,
    /// Deliveries of the large backlog.
    #[arg(long, default_value_t = 1_000_000)]
    pub large: usize,
}

/// Measures, prints, and answers whether the two are close enough.
pub async fn run(options: &MemoryOptions) -> anyhow::Result<bool> {
    let stopwatch = Stopwatch::start();
    let events = options.small * options.rounds + options.large + ENDPOINTS * 1_000;
    let sink = Sink::start(stopwatch, ENDPOINTS, events).await?;
    let servers = Servers::start().await?;
    let plan =
        Plan { prefix: "memory", partitions: 6, endpoints: ENDPOINTS, endpoint: json!({}), data_bytes: DATA_BYTES };
    let mut deployment = Deployment::start(&servers, &sink, stopwatch, plan).await?;
    println!("{} × {} deliveries …", options.rounds, options.small);
    let small = drained(&mut deployment, &sink, options.small, options.rounds).await?;
    println!("{} deliveries …", options.large);
    let large = drained(&mut deployment, &sink, options.large, 1).await?;
    deployment.stop().await?;
    servers.stop().await?;

    let met = large.peak * 100 <= small.peak * (100 + TOLERANCE_PERCENT);
    let mut figures = table(&["RSS while a backlog drains", "median", "peak"]);
    for (name, memory) in [(options.small, small), (options.large, large)] {
        figures.add_row([name.to_string(), mebibytes(memory.median), mebibytes(memory.peak)]);
    }
    println!("\n{figures}\nwithin {TOLERANCE_PERCENT} %: {}", verdict(met));
    Ok(met)
}

/// Memory of a process, new each time, while it drains `rounds` backlogs, each of which was there when it began.
async fn drained(deployment: &mut Deployment, sink: &Sink, backlog: usize, rounds: usize) -> anyhow::Result<Memory> {
    let batch = Batch { count: backlog, endpoints: ENDPOINTS };
    deployment.stop().await?;
    sink.reset();
    deployment.loader.write_backlog(batch).await?;
    deployment.resume().await?;
    let watch = MemoryWatch::start(deployment.pid());
    for round in 1..=rounds {
        if round > 1 {
            sink.reset();
            deployment.loader.write_backlog(batch).await?;
        }
        sink.wait_for(backlog as u64, PATIENCE).await.with_context(|| format!("round {round}"))?;
        sink.settle(Duration::from_millis(200)).await;
    }
    Ok(watch.finish())
}
