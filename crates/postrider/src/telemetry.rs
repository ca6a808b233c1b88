//! Logs and metrics of the process.

use std::{io::IsTerminal, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt::time::SystemTime};

use crate::config::{LogFormat, LogSection};

/// How often histograms are drained, so that they take no more memory than one period's samples.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of histogram buckets, seconds.
const BUCKETS: [f64; 15] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Sends logs to stderr, as text or as JSON.
pub fn start_logs(config: &LogSection) -> anyhow::Result<()> {
    // The API logs what the HTTP server would say again.
    let level = format!("poem=warn,{}", config.level);
    let filter = EnvFilter::try_new(level).context("log.level was checked when it was read")?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_timer(SystemTime);
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let started =
        if json { builder.json().flatten_event(true).try_init() } else { builder.with_target(false).try_init() };
    started.map_err(|error| anyhow::anyhow!("can't start logging: {error}"))
}

/// Collects metrics in this process, for the API's `/metrics`.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("can't start collecting metrics")
}

/// Keeps the metrics' memory bounded until it is dropped.
pub async fn keep_up(metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        metrics.run_upkeep();
    }
}
