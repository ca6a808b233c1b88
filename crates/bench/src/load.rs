//! `bench load`: how fast a backlog drains, how late deliveries are at a steady rate, and what both cost.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use postrider_testkit::usage::resident_bytes;
use serde_json::json;
use tokio::time::Instant;

use crate::deployment::{Deployment, Plan};
use crate::loader::Batch;
use crate::memory_watch::{Memory, MemoryWatch};
use crate::raw::{self, RawOptions, RawResult};
use crate::report::{Latencies, mebibytes, micros, millis, table, verdict};
use crate::servers::{Cpu, Servers};
use crate::sink::Sink;
use crate::stopwatch::Stopwatch;

/// Endpoints of the deployment.
const ENDPOINTS: usize = 1_000;
const DATA_BYTES: usize = 900;
const RAW_POSTS: usize = 100_000;
const RAW_IN_FLIGHT: usize = 64;
/// A broker that has just started compiles its code while it works; it is not what is measured.
const WARM_UP_RATE: u32 = 500;
const WARM_UP_SECONDS: u32 = 20;
/// A measurement without anything received for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const MIN_DRAINED_PER_SECOND: f64 = 8_000.0;
const MAX_P50: Duration = Duration::from_millis(3);
const MAX_P99: Duration = Duration::from_millis(20);
const MAX_RESIDENT: u64 = 200 << 20;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadOptions {
    /// Events of the backlog.
    #[arg(long, default_value_t = 200_000)]
    pub backlog: usize,
    /// Endpoints that share the backlog.
    #[arg(long, default_value_t = 100)]
    pub backlog_endpoints: usize,
    /// Rates at which latency is measured, events a second.
    #[arg(long, value_delimiter = ',', default_values_t = [500, 2_000])]
    pub rates: Vec<u32>,
    /// Seconds at each rate.
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
}

/// A backlog, drained.
struct Drained {
    per_second: f64,
    cpu: Cpu,
    memory: Memory,
    duplicates: u64,
}

/// A steady rate, held.
struct Held {
    rate: u32,
    latencies: Latencies,
    cpu: Cpu,
    memory: Memory,
}

/// Measures, prints, and answers whether every target is met.
pub async fn run(options: &LoadOptions) -> anyhow::Result<bool> {
    let stopwatch = Stopwatch::start();
    let steady: usize = options.rates.iter().map(|rate| (rate * options.seconds) as usize).sum();
    let events = options.backlog + steady + (WARM_UP_RATE * WARM_UP_SECONDS) as usize + ENDPOINTS * 10;
    let sink = Sink::start(stopwatch, ENDPOINTS, events).await?;
    let servers = Servers::start().await?;
    let raw = RawOptions {
        url: sink.url(0),
        count: RAW_POSTS,
        in_flight: RAW_IN_FLIGHT,
        per_second: None,
        data_bytes: DATA_BYTES,
    };
    println!("raw loop: {RAW_POSTS} signed POSTs …");
    let fast = raw::measure(&raw).await?;
    let slow = raw::measure(&RawOptions { count: 5_000, per_second: Some(500), ..raw }).await?;
    println!("deployment: {ENDPOINTS} endpoints …");
    let plan =
        Plan { prefix: "load", partitions: 6, endpoints: ENDPOINTS, endpoint: json!({}), data_bytes: DATA_BYTES };
    let mut deployment = Deployment::start(&servers, &sink, stopwatch, plan).await?;
    println!("warming up: {WARM_UP_RATE} events/s for {WARM_UP_SECONDS} s …");
    hold(&servers, &deployment, &sink, WARM_UP_RATE, WARM_UP_SECONDS).await?;
    let mut held = Vec::new();
    for rate in &options.rates {
        println!("steady: {rate} events/s for {} s …", options.seconds);
        held.push(hold(&servers, &deployment, &sink, *rate, options.seconds).await?);
    }
    println!("backlog: {} events …", options.backlog);
    let drained = drain(&servers, &mut deployment, &sink, options).await?;
    deployment.stop().await?;
    servers.stop().await?;
    Ok(print(options, &fast, &slow, &drained, &held))
}

async fn hold(
    servers: &Servers,
    deployment: &Deployment,
    sink: &Sink,
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Held> {
    sink.settle(Duration::from_secs(1)).await;
    sink.reset();
    let batch = Batch { count: (rate * seconds) as usize, endpoints: ENDPOINTS };
    let (before, watch) = (servers.cpu(deployment.pid()), MemoryWatch::start(deployment.pid()));
    deployment.loader.write_at(batch, rate).await?;
    sink.wait_for(batch.count as u64, PATIENCE).await.with_context(|| format!("at {rate} events/s"))?;
    let cpu = servers.cpu(deployment.pid()).since(before);
    let latencies = Latencies::of(sink.take_receipts().iter());
    Ok(Held { rate, latencies, cpu, memory: watch.finish() })
}

/// Writes the backlog while the process is down; counts from the first receipt to the last.
async fn drain(
    servers: &Servers,
    deployment: &mut Deployment,
    sink: &Sink,
    options: &LoadOptions,
) -> anyhow::Result<Drained> {
    deployment.stop().await?;
    sink.reset();
    let batch = Batch { count: options.backlog, endpoints: options.backlog_endpoints };
    deployment.loader.write_backlog(batch).await?;
    deployment.resume().await?;
    sink.wait_for(1, PATIENCE).await.context("the backlog's first delivery")?;
    let (begun, already) = (Instant::now(), sink.distinct());
    let (before, watch) = (servers.cpu(deployment.pid()), MemoryWatch::start(deployment.pid()));
    sink.wait_for(batch.count as u64, PATIENCE).await.context("draining")?;
    let (elapsed, memory) = (begun.elapsed(), watch.finish());
    // The log may be a little behind: its share of the CPU belongs to these deliveries.
    settle_log(servers, deployment.pid()).await;
    let cpu = servers.cpu(deployment.pid()).since(before);
    ensure!(resident_bytes(deployment.pid()) > 0, "postrider ended");
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    let per_second = (batch.count as u64 - already) as f64 / elapsed.as_secs_f64();
    Ok(Drained { per_second, cpu, memory, duplicates: sink.duplicates() })
}

/// Waits until Postgres has nothing more to do.
async fn settle_log(servers: &Servers, pid: u32) {
    const QUIET: Duration = Duration::from_millis(500);
    const IDLE: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let before = servers.cpu(pid);
        tokio::time::sleep(QUIET).await;
        if servers.cpu(pid).since(before).postgres <= IDLE || Instant::now() > deadline {
            return;
        }
    }
}

fn print(options: &LoadOptions, fast: &RawResult, slow: &RawResult, drained: &Drained, held: &[Held]) -> bool {
    let mut costs = table(&["CPU each", "rate", "postrider", "kafka", "postgres", "sum", "raw POST", "ratio"]);
    let mut cost = |name: String, rate: f64, cpu: Cpu, count: usize, raw: Duration| {
        let count = u32::try_from(count).expect("a benchmark's counts are small");
        let each = |total: Duration| micros(total / count);
        let ratio = |total: Duration| format!("{:.1}×", (total / count).as_secs_f64() / raw.as_secs_f64());
        let ratios = format!("{} / {}", ratio(cpu.postrider), ratio(cpu.sum()));
        let parts = [each(cpu.postrider), each(cpu.kafka), each(cpu.postgres), each(cpu.sum())];
        let [postrider, kafka, postgres, sum] = parts;
        costs.add_row([name, format!("{rate:.0}/s"), postrider, kafka, postgres, sum, micros(raw), ratios]);
    };
    cost("backlog".to_owned(), drained.per_second, drained.cpu, options.backlog, fast.cpu);
    for held in held {
        let raw = if held.rate <= 500 { slow.cpu } else { fast.cpu };
        cost("steady".to_owned(), held.rate.into(), held.cpu, held.latencies.count(), raw);
    }
    let mut late = table(&["produce → receipt", "events", "p50", "p95", "p99", "p99.9", "peak RSS"]);
    for held in held {
        let of = |share| millis(held.latencies.per_mille(share));
        let figures = [of(500), of(950), of(990), of(999)];
        let [p50, p95, p99, p999] = figures;
        let count = held.latencies.count().to_string();
        late.add_row([format!("{}/s", held.rate), count, p50, p95, p99, p999, mebibytes(held.memory.peak)]);
    }
    println!("\n{costs}\nRatios: Postrider's process to the raw loop, and with Kafka and Postgres.\n{late}");
    println!(
        "raw loop at full speed: {:.0}/s; backlog: peak RSS {}, median {}, {} repeated\n",
        fast.per_second,
        mebibytes(drained.memory.peak),
        mebibytes(drained.memory.median),
        drained.duplicates,
    );
    targets(options, drained, held)
}

fn targets(options: &LoadOptions, drained: &Drained, held: &[Held]) -> bool {
    let mut targets = table(&["target", "is", "wanted", "verdict"]);
    let mut all = true;
    let mut target = |name: String, is: String, wanted: String, met: bool| {
        all &= met;
        targets.add_row([name, is, wanted, verdict(met).to_owned()]);
    };
    let drained_per_second = format!("{:.0}/s", drained.per_second);
    let name = format!("a backlog of {} drains", options.backlog);
    let met = drained.per_second >= MIN_DRAINED_PER_SECOND;
    target(name, drained_per_second, format!("≥ {MIN_DRAINED_PER_SECOND}/s"), met);
    for held in held.iter().filter(|held| held.rate == 500) {
        for (name, share, limit) in [("p50 at 500/s", 500, MAX_P50), ("p99 at 500/s", 990, MAX_P99)] {
            let is = held.latencies.per_mille(share);
            target(name.to_owned(), millis(is), format!("< {limit:?}"), is < limit);
        }
    }
    let peak = held.iter().map(|held| held.memory.peak).chain([drained.memory.peak]).max().unwrap_or_default();
    let name = format!("RSS under load, {ENDPOINTS} endpoints");
    target(name, mebibytes(peak), format!("≤ {}", mebibytes(MAX_RESIDENT)), peak <= MAX_RESIDENT);
    println!("{targets}");
    all
}
