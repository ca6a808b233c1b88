//! `bench memory`: whether resident memory depends on how much is waiting.

use std::time::Duration;

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
/// In how many parts a backlog is kept up.
const STEPS: usize = 10;
/// How much more memory the large backlog may take, percent.
const TOLERANCE_PERCENT: u64 = 10;

/// What to compare.
#[derive(Debug, Clone, clap::Args)]
pub struct MemoryOptions {
    /// Deliveries of the small backlog.
    #[arg(long, default_value_t = 10_000)]
    pub small: usize,
    /// Deliveries made while the small backlog is kept up: peaks are compared after work of a like kind.
    #[arg(long, default_value_t = 500_000)]
    pub sustained: usize,
    /// Deliveries of the large backlog.
    #[arg(long, default_value_t = 1_000_000)]
    pub large: usize,
}

/// Measures, prints, and answers whether the two are close enough.
pub async fn run(options: &MemoryOptions) -> anyhow::Result<bool> {
    let stopwatch = Stopwatch::start();
    let events = options.sustained + options.large + ENDPOINTS * 1_000;
    let sink = Sink::start(stopwatch, ENDPOINTS, events).await?;
    let servers = Servers::start().await?;
    let plan =
        Plan { prefix: "memory", partitions: 6, endpoints: ENDPOINTS, endpoint: json!({}), data_bytes: DATA_BYTES };
    let mut deployment = Deployment::start(&servers, &sink, stopwatch, plan).await?;
    println!("{} deliveries, {} of which wait at a time …", options.sustained, options.small);
    let small = worked_off(&mut deployment, &sink, options.small, options.sustained).await?;
    println!("{} deliveries, all of which wait …", options.large);
    let large = worked_off(&mut deployment, &sink, options.large, options.large).await?;
    deployment.stop().await?;
    servers.stop().await?;

    let met = large.peak * 100 <= small.peak * (100 + TOLERANCE_PERCENT);
    let mut figures = table(&["RSS with a backlog", "median", "peak"]);
    for (name, memory) in [(options.small, small), (options.large, large)] {
        figures.add_row([name.to_string(), mebibytes(memory.median), mebibytes(memory.peak)]);
    }
    println!("\n{figures}\nwithin {TOLERANCE_PERCENT} %: {}", verdict(met));
    Ok(met)
}

/// Memory of a new process while it makes `total` deliveries. `backlog` of them wait when it begins, and as many are kept
/// waiting until all were written.
async fn worked_off(deployment: &mut Deployment, sink: &Sink, backlog: usize, total: usize) -> anyhow::Result<Memory> {
    let step = backlog.div_ceil(STEPS);
    deployment.stop().await?;
    sink.reset();
    deployment.loader.write_backlog(Batch { count: backlog, endpoints: ENDPOINTS }).await?;
    deployment.resume().await?;
    let watch = MemoryWatch::start(deployment.pid());
    let mut written = backlog;
    while written < total {
        sink.wait_for((written + step - backlog) as u64, PATIENCE).await?;
        let count = step.min(total - written);
        deployment.loader.write_backlog(Batch { count, endpoints: ENDPOINTS }).await?;
        written += count;
    }
    sink.wait_for(total as u64, PATIENCE).await?;
    sink.settle(Duration::from_millis(200)).await;
    Ok(watch.finish())
}
