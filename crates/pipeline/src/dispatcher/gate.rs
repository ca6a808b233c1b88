//! The egress gate as every partition of a process uses it.

use std::{pin::pin, sync::Arc};

use metrics::Gauge;
use parking_lot::Mutex;
use postrider_domain::{
    Monotonic,
    gate::{Admission, EgressGate, GateChange, GateConfig, Verdict},
};
use tokio::sync::Notify;

use super::uptime::Uptime;

/// One gate for all requests of a process. Clones share it. Moments are those of the [`Uptime`] that it was made with.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    gate: Mutex<EgressGate>,
    config: GateConfig,
    uptime: Uptime,
    /// Told at whatever may end the wait for a verdict.
    told: Notify,
    shut: Gauge,
}

impl Gate {
    /// An open gate.
    pub(super) fn new(config: GateConfig, uptime: Uptime) -> Self {
        let shut = metrics::gauge!("postrider_egress_gate_shut");
        shut.set(0.0);
        let gate = Mutex::new(EgressGate::new(config));
        Self(Arc::new(Inner { gate, config, uptime, told: Notify::new(), shut }))
    }

    /// Whether a request to `host` may go now.
    pub(super) fn may_send(&self, host: &str) -> Admission {
        let now = self.0.uptime.now();
        self.0.gate.lock().may_send(host, now)
    }

    /// A request begun at `begun_at` got an HTTP status, any.
    pub(super) fn on_status(&self, begun_at: Monotonic) {
        self.0.change(|gate, now| gate.on_status(begun_at, now));
    }

    /// A request begun at `begun_at` failed to reach `host`, by DNS, connect, TLS or time-out.
    pub(super) fn on_unreachable(&self, host: &str, begun_at: Monotonic) {
        self.0.change(|gate, now| gate.on_unreachable(host, begun_at, now));
    }

    /// Whether the gate was shut at any time since `begun_at`: a failure to reach a host then counts for nothing.
    pub(super) fn overlapped_shut(&self, begun_at: Monotonic) -> bool {
        let now = self.0.uptime.now();
        self.0.gate.lock().overlapped_shut(begun_at, now)
    }

    /// What becomes of an exhausted delivery whose last attempt failed to reach its host at `failed_at`. Waits until
    /// that is known, `verdict_wait` after that moment at the latest; never answers [`Verdict::Pending`]. Cancel-safe.
    pub(super) async fn verdict(&self, failed_at: Monotonic) -> Verdict {
        let inner = &*self.0;
        let patience = inner.uptime.instant(failed_at + inner.config.verdict_wait);
        loop {
            let mut told = pin!(inner.told.notified());
            // Before the look, so that nothing that happens after it is missed.
            told.as_mut().enable();
            match inner.gate.lock().verdict(failed_at, inner.uptime.now()) {
                Verdict::Pending => {}
                verdict => return verdict,
            }
            // Timers are in whole milliseconds and never early.
            let _ = tokio::time::timeout_at(patience, told).await;
        }
    }
}

impl Inner {
    fn change(&self, event: impl FnOnce(&mut EgressGate, Monotonic) -> Option<GateChange>) {
        let mut gate = self.gate.lock();
        let change = event(&mut gate, self.uptime.now());
        match change {
            Some(GateChange::Shut) => {
                self.shut.set(1.0);
                tracing::warn!(
                    hosts = self.config.hosts_to_shut,
                    "no host can be reached: deliveries wait, and one request a while looks for a way; check this machine's network, DNS and egress proxy"
                );
            }
            Some(GateChange::Opened) => {
                self.shut.set(0.0);
                tracing::info!("a host answered again: deliveries go on");
            }
            None => {}
        }
        drop(gate);
        self.told.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    const HOSTS: [&str; 3] = ["a", "b", "c"];

    async fn gate() -> (Gate, Uptime) {
        let uptime = Uptime::begin();
        tokio::time::advance(Duration::from_mins(1)).await;
        (Gate::new(GateConfig::default(), uptime), uptime)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_one_gate_for_all_who_share_it() {
        let (gate, uptime) = gate().await;
        for host in HOSTS {
            assert_eq!(gate.may_send(host), Admission::Send);
            gate.clone().on_unreachable(host, uptime.now());
        }
        let begun_at = uptime.now();
        assert_eq!(gate.may_send("d"), Admission::Wait(begun_at + Duration::from_secs(1)));
        assert!(gate.overlapped_shut(begun_at));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(gate.may_send("d"), Admission::Probe);
        gate.on_status(uptime.now());
        assert_eq!(gate.may_send("a"), Admission::Send);
        assert!(!gate.overlapped_shut(uptime.now()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_verdict_an_exhausted_delivery_is_given_up_ten_seconds_after_it_failed() {
        let (gate, uptime) = gate().await;
        let (failed_at, began) = (uptime.now(), Instant::now());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(gate.verdict(failed_at).await, Verdict::DeadLetter);
        assert_eq!(began.elapsed().as_millis() / 10, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_to_a_later_request_ends_the_wait_at_once() {
        let (gate, uptime) = gate().await;
        let (failed_at, began) = (uptime.now(), Instant::now());
        let answered = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.on_status(failed_at);
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.on_status(uptime.now());
        };
        let (verdict, ()) = tokio::join!(gate.verdict(failed_at), answered);
        assert_eq!((verdict, began.elapsed().as_secs()), (Verdict::DeadLetter, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_gate_shuts_what_waits_for_a_verdict_is_parked_at_once() {
        let (gate, uptime) = gate().await;
        let (failed_at, began) = (uptime.now(), Instant::now());
        let fails = async {
            for host in HOSTS {
                tokio::time::sleep(Duration::from_secs(1)).await;
                gate.on_unreachable(host, uptime.now());
            }
        };
        let (verdict, ()) = tokio::join!(gate.verdict(failed_at), fails);
        assert_eq!((verdict, began.elapsed().as_secs()), (Verdict::Park, 3));
    }
}
