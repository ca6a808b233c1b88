//! How fast events are published over HTTP, in batches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use futures::future::try_join_all;
use postrider_testkit::ApiClient;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::plane::Plane;
use super::target::Target;

const PUBLISHERS: usize = 4;
const BATCH: usize = 200;
/// Events a second.
const LIMIT: f64 = 5_000.0;

/// Publishes for so long, as fast as it goes. A process with the API runs.
pub async fn measure(plane: &Plane, length: Duration) -> anyhow::Result<Vec<Target>> {
    let (api, published) = (plane.tenant()?, AtomicUsize::new(0));
    let begun = Instant::now();
    let publishers = (0..PUBLISHERS).map(|_| publish(&api, &published, begun + length));
    try_join_all(publishers).await?;
    #[expect(clippy::cast_precision_loss, reason = "events are below 2^52")]
    let rate = published.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    println!("  {rate:.0} events/s in batches of {BATCH}");
    Ok(vec![Target::at_least("published-events-per-s", rate, LIMIT)])
}

async fn publish(api: &ApiClient, published: &AtomicUsize, until: Instant) -> anyhow::Result<()> {
    let data = json!({ "order": 4_711, "total": "12.50", "note": "x".repeat(160) });
    let event = json!({ "type": "bench.published", "data": data });
    let body = json!({ "events": vec![event; BATCH] });
    while Instant::now() < until {
        let (status, answer) = api.post("/v1/events/batch", &body).await?;
        ensure!(status.is_success(), "publishing was answered with {status}: {answer}");
        let taken = answer["data"].as_array().map_or(BATCH, Vec::len);
        ensure!(taken == BATCH, "{taken} of {BATCH} events were taken: {}", answer.get("data").unwrap_or(&Value::Null));
        published.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}
