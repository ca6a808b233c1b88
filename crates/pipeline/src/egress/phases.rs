//! How long the parts of one request take: told by whoever makes its connection, which the HTTP client hides.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use postrider_domain::delivery_event::Phases;
use tokio::time::Instant;

tokio::task_local! {
    /// The stopwatch of the request for which a connection is made.
    static CURRENT: Arc<Stopwatch>;
}

/// A part of making a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Dns,
    Connect,
    Tls,
}

/// Takes the time of one request.
#[derive(Debug)]
pub(super) struct Stopwatch {
    begun: Instant,
    setup: Mutex<Setup>,
}

#[derive(Debug, Default)]
struct Setup {
    taken: [Option<Duration>; 3],
    /// What is being done, and since when.
    current: Option<(Phase, Instant)>,
    complete: bool,
}

impl Stopwatch {
    /// Starts it.
    pub(super) fn start() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), setup: Mutex::default() })
    }

    /// Runs `request`: the connection that is made for it is timed by this.
    pub(super) async fn around<F: Future>(self: &Arc<Self>, request: F) -> F::Output {
        CURRENT.scope(self.clone(), request).await
    }

    /// The one of the request that the caller is a part of; one that nobody reads if there is none.
    pub(super) fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Self::start())
    }

    /// Does `work`, a part of making a connection.
    pub(super) async fn time<F: Future>(&self, phase: Phase, work: F) -> F::Output {
        let begun = Instant::now();
        self.setup.lock().current = Some((phase, begun));
        let done = work.await;
        let mut setup = self.setup.lock();
        setup.taken[phase as usize] = Some(begun.elapsed());
        setup.current = None;
        done
    }

    /// The connection is there.
    pub(super) fn connected(&self) {
        self.setup.lock().complete = true;
    }

    /// The phases of a request that was answered just now, on a connection that was made for it or not.
    pub(super) fn answered(&self, made_for_it: bool) -> Phases {
        let setup = if made_for_it { self.setup.lock().taken } else { [None; 3] };
        self.phases(setup, true)
    }

    /// The phases of a request that failed just now: what was not over, was until now.
    pub(super) fn failed(&self) -> Phases {
        let setup = self.setup.lock();
        let mut taken = setup.taken;
        if let Some((phase, since)) = setup.current {
            taken[phase as usize] = Some(since.elapsed());
        }
        // Without so much as a beginning it rode on a connection that was there.
        let has_waited = setup.complete || taken == [None; 3];
        self.phases(taken, has_waited)
    }

    fn phases(&self, taken: [Option<Duration>; 3], has_waited: bool) -> Phases {
        let micros = |took: Duration| i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        let setup: Duration = taken.iter().flatten().sum();
        let [dns_us, connect_us, tls_us] = taken.map(|took| took.map(micros));
        let wait_us = has_waited.then(|| micros(self.begun.elapsed().saturating_sub(setup)));
        Phases { dns_us, connect_us, tls_us, wait_us }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    fn phases(dns: i64, connect: Option<i64>, tls: Option<i64>, wait: Option<i64>) -> Phases {
        let us = |millis: i64| millis * 1_000;
        Phases { dns_us: Some(us(dns)), connect_us: connect.map(us), tls_us: tls.map(us), wait_us: wait.map(us) }
    }

    async fn sleeps(millis: u64) {
        sleep(Duration::from_millis(millis)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_parts_of_a_request_with_a_connection_of_its_own_make_up_the_whole() {
        let watch = Stopwatch::start();
        let request = async {
            let inner = Stopwatch::current();
            inner.time(Phase::Dns, sleeps(5)).await;
            inner.time(Phase::Connect, sleeps(20)).await;
            inner.time(Phase::Tls, sleeps(30)).await;
            inner.connected();
            sleeps(40).await;
        };
        watch.around(request).await;
        assert_eq!(watch.answered(true), phases(5, Some(20), Some(30), Some(40)));
        let pooled = Phases { wait_us: Some(95_000), ..Phases::default() };
        assert_eq!(watch.answered(false), pooled);
        assert_eq!(watch.failed(), phases(5, Some(20), Some(30), Some(40)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_has_waited_only_if_it_got_so_far() {
        let watch = Stopwatch::start();
        watch.time(Phase::Dns, sleeps(5)).await;
        let connecting = watch.time(Phase::Connect, sleeps(1_000));
        assert!(tokio::time::timeout(Duration::from_millis(50), connecting).await.is_err());
        assert_eq!(watch.failed(), phases(5, Some(50), None, None));

        let watch = Stopwatch::start();
        advance(Duration::from_millis(7)).await;
        assert_eq!(watch.failed(), Phases { wait_us: Some(7_000), ..Phases::default() });
    }
}
