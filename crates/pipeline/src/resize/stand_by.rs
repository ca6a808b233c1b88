//! A stage runs as long as its generation of topics is in use.

use std::{future::Future, pin::pin, time::Duration};

use postrider_kafka::{Layout, Readiness, Shutdown, Standing};

use crate::stage::StageError;

/// Runs a stage until the process stops; if a resize begins, stops it in order, within `drain`, and stands by until the
/// process stops or begins anew. Does not begin it while a resize is under way.
pub async fn stand_by<F>(
    stage: &'static str,
    layout: Layout,
    readiness: Readiness,
    shutdown: Shutdown,
    drain: Duration,
    run: impl FnOnce(Shutdown) -> F,
) -> Result<(), StageError>
where
    F: Future<Output = Result<(), StageError>>,
{
    if layout.standing() == Standing::InUse {
        let of_stage = Shutdown { soft: shutdown.soft.child_token(), hard: shutdown.hard.child_token() };
        let mut running = pin!(run(of_stage.clone()));
        tokio::select! {
            ended = &mut running => return ended,
            _ = layout.wait_until(|standing| standing != Standing::InUse) => {}
        }
        tracing::info!(stage, "stops: the partitions are being resized");
        of_stage.soft.cancel();
        if let Ok(ended) = tokio::time::timeout(drain, &mut running).await {
            ended?;
        } else {
            of_stage.hard.cancel();
            running.await?;
        }
    }
    let waiting = readiness.register(format!("{stage}, which waits for a resize"));
    waiting.unready("the partitions are being resized: see `postrider topics resize --help`");
    shutdown.soft.cancelled().await;
    Ok(())
}
