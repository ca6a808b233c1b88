//! One measurement after the other.

use std::path::PathBuf;
use std::time::Duration;

use super::dataset::Size;
use super::plane::Plane;
use super::target::Target;
use super::{edits, projection, publishing, reads};

const ALL_ROLES: &str = "api,relay,projector,matcher,dispatcher,retrier,replayer";

/// How much to measure with.
#[derive(Debug, Clone, clap::Args)]
pub struct ControlOptions {
    /// Endpoints.
    #[arg(long, default_value_t = 100_000)]
    pub endpoints: usize,
    /// Rows of the delivery log, over 30 days.
    #[arg(long, default_value_t = 10_000_000)]
    pub deliveries: usize,
    /// Deliveries that the analytics have counted, over 30 days.
    #[arg(long, default_value_t = 100_000_000)]
    pub counted: usize,
    /// Attempts that the projector works off.
    #[arg(long, default_value_t = 500_000)]
    pub attempts: usize,
    /// How long events are published and endpoints edited, seconds.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// A folder in which the generated set stays; what an earlier run left there is used again.
    #[arg(long)]
    pub keep: Option<PathBuf>,
}

/// Measures, prints one line for each target, and answers whether all are reached.
pub async fn run(options: &ControlOptions) -> anyhow::Result<bool> {
    let size = Size { endpoints: options.endpoints, deliveries: options.deliveries, counted: options.counted };
    let mut plane = Plane::start(size, options.keep.as_deref()).await?;
    let length = Duration::from_secs(options.seconds);

    let mut targets: Vec<Target> = Vec::new();
    println!("reading …");
    plane.serve("api").await?;
    targets.extend(reads::measure(&plane).await?);
    println!("projecting {} attempts …", options.attempts);
    targets.extend(projection::measure(&mut plane, options.attempts).await?);
    println!("publishing for {} s …", options.seconds);
    plane.serve(ALL_ROLES).await?;
    targets.extend(publishing::measure(&plane, length).await?);
    println!("editing for {} s …", options.seconds);
    targets.extend(edits::measure(&plane, length).await?);
    plane.stop().await?;

    println!();
    for target in &targets {
        println!("{target}");
    }
    Ok(targets.iter().all(Target::is_met))
}
