//! The life of the process: roles run as tasks until one fails or a signal comes; then they drain, and
//! what has not ended at the deadline is abandoned.

use std::{future::Future, time::Duration};

use anyhow::{Context, anyhow};
use postrider_kafka::Shutdown;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinError, JoinSet},
};
use tracing::{error, info, warn};

/// How long tasks may take to notice that they are to abandon everything.
const HARD_GRACE: Duration = Duration::from_secs(5);

/// The tasks of the process.
pub struct Lifecycle {
    tasks: JoinSet<(String, anyhow::Result<()>)>,
    shutdown: Shutdown,
    drain: Duration,
}

impl Lifecycle {
    /// No tasks yet. After a stop is requested, they have `drain` to finish what they took.
    pub fn new(shutdown: Shutdown, drain: Duration) -> Self {
        Self { tasks: JoinSet::new(), shutdown, drain }
    }

    /// Runs a part of the process. It is to end when the shutdown asks for it, and not before.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, part: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        let name = name.into();
        self.tasks.spawn(async move { (name, part.await.map_err(Into::into)) });
    }

    /// Runs until a signal or a failure, then stops: softly, and hard at the deadline or at a second signal.
    /// Returns the first failure.
    pub async fn run(mut self, mut next_signal: impl AsyncFnMut() -> &'static str) -> anyhow::Result<()> {
        let failure = tokio::select! {
            signal = next_signal() => {
                info!(signal, drain = ?self.drain, "stopping: no more work is taken");
                None
            }
            ended = self.tasks.join_next() => {
                let failure = ended.map_or_else(|| anyhow!("there is nothing to run"), failure_of_unexpected_end);
                error!(error = format!("{failure:#}"), "stopping after a failure");
                Some(failure)
            }
        };
        self.shutdown.soft.cancel();
        let later = self.drain(next_signal).await;
        failure.or(later).map_or(Ok(()), Err)
    }

    /// Waits for every task; past the deadline without those that don't listen. Returns the first failure.
    async fn drain(&mut self, mut next_signal: impl AsyncFnMut() -> &'static str) -> Option<anyhow::Error> {
        let mut failure = None;
        let deadline = tokio::time::sleep(self.drain);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    None => break,
                    Some(ended) => failure = failure.or(failure_of(ended)),
                },
                () = &mut deadline => {
                    warn!(drain = ?self.drain, "the drain time is over: what is left is abandoned and will be done again");
                    break;
                }
                signal = next_signal() => {
                    warn!(signal, "second signal: what is left is abandoned and will be done again");
                    break;
                }
            }
        }
        self.shutdown.hard.cancel();
        let ended = tokio::time::timeout(HARD_GRACE, async {
            while let Some(ended) = self.tasks.join_next().await {
                failure = failure.take().or(failure_of(ended));
            }
        });
        if ended.await.is_err() {
            warn!(tasks = self.tasks.len(), "parts that did not stop in time were aborted");
            self.tasks.shutdown().await;
        }
        failure
    }
}

type Ended = Result<(String, anyhow::Result<()>), JoinError>;

fn failure_of(ended: Ended) -> Option<anyhow::Error> {
    match ended {
        Ok((name, result)) => result.with_context(|| format!("{name} failed")).err(),
        Err(error) => Some(anyhow!(error).context("a part of the process panicked; please report this")),
    }
}

fn failure_of_unexpected_end(ended: Ended) -> anyhow::Error {
    let name = ended.as_ref().map_or_else(|_| String::new(), |(name, _)| name.clone());
    failure_of(ended).unwrap_or_else(|| anyhow!("{name} ended although nobody asked it to"))
}

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind, name| signal(kind).with_context(|| format!("can't listen for {name}"));
        Ok(Self {
            terminate: listen(SignalKind::terminate(), "SIGTERM")?,
            interrupt: listen(SignalKind::interrupt(), "SIGINT")?,
        })
    }

    /// The name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending, sync::Arc};

    use tokio::sync::{Mutex, mpsc};

    use super::*;

    const DRAIN: Duration = Duration::from_secs(10);

    /// Signals that a test sends.
    fn signals() -> (mpsc::Sender<()>, impl AsyncFnMut() -> &'static str) {
        let (sender, receiver) = mpsc::channel(2);
        let receiver = Arc::new(Mutex::new(receiver));
        let next = async move || match receiver.lock().await.recv().await {
            Some(()) => "TEST",
            None => pending().await,
        };
        (sender, next)
    }

    fn lifecycle() -> (Lifecycle, Shutdown) {
        let shutdown = Shutdown::new();
        (Lifecycle::new(shutdown.clone(), DRAIN), shutdown)
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_lets_tasks_finish_what_they_took() {
        let (mut lifecycle, shutdown) = lifecycle();
        let (send, next) = signals();
        lifecycle.spawn("part", async move {
            shutdown.soft.cancelled().await;
            tokio::time::sleep(DRAIN / 2).await;
            assert!(!shutdown.hard.is_cancelled());
            Ok::<_, Infallible>(())
        });
        send.send(()).await.unwrap();
        lifecycle.run(next).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_at_the_deadline_is_told_to_abandon() {
        let (mut lifecycle, shutdown) = lifecycle();
        let (send, next) = signals();
        let started = tokio::time::Instant::now();
        lifecycle.spawn("part", async move {
            shutdown.hard.cancelled().await;
            Ok::<_, Infallible>(())
        });
        send.send(()).await.unwrap();
        lifecycle.run(next).await.unwrap();
        assert_eq!(started.elapsed(), DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_does_not_wait_for_the_deadline() {
        let (mut lifecycle, shutdown) = lifecycle();
        let (send, next) = signals();
        let started = tokio::time::Instant::now();
        lifecycle.spawn("part", async move {
            shutdown.hard.cancelled().await;
            Ok::<_, Infallible>(())
        });
        send.send(()).await.unwrap();
        send.send(()).await.unwrap();
        lifecycle.run(next).await.unwrap();
        assert!(started.elapsed() < DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_never_listens_is_aborted() {
        let (mut lifecycle, _) = lifecycle();
        let (send, next) = signals();
        lifecycle.spawn("deaf", pending::<Result<(), Infallible>>());
        send.send(()).await.unwrap();
        lifecycle.run(next).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_part_stops_the_others_and_is_named() {
        let (mut lifecycle, shutdown) = lifecycle();
        let (_send, next) = signals();
        lifecycle.spawn("good", async move {
            shutdown.soft.cancelled().await;
            Ok::<_, Infallible>(())
        });
        lifecycle.spawn("the matcher", async { Err(anyhow!("no broker")) });
        let error = lifecycle.run(next).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "the matcher failed: no broker");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_ends_by_itself_is_a_failure() {
        let (mut lifecycle, _) = lifecycle();
        let (_send, next) = signals();
        lifecycle.spawn("the relay", async { Ok::<_, Infallible>(()) });
        let error = lifecycle.run(next).await.unwrap_err();
        assert_eq!(error.to_string(), "the relay ended although nobody asked it to");
    }
}
