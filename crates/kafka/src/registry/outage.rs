//! When a registry that does not answer is asked again: one request at a time, ever more rarely.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Whether the registry answers, as far as is known.
#[derive(Debug)]
pub(super) struct Outage {
    down: Mutex<Option<Down>>,
    is_down: watch::Sender<bool>,
}

#[derive(Debug)]
struct Down {
    ask_at: Instant,
    delay: Duration,
    why: String,
}

impl Outage {
    pub fn new() -> Self {
        Self { down: Mutex::new(None), is_down: watch::Sender::new(false) }
    }

    /// Whether to ask now. Error: why not, which is what went wrong last.
    pub fn may_ask(&self) -> Result<(), String> {
        let now = Instant::now();
        match &mut *self.down.lock() {
            Some(down) if down.ask_at > now => Err(down.why.clone()),
            // Whoever comes next waits for what this one finds.
            Some(down) => {
                down.ask_at = now + down.delay;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// It answered.
    pub fn answered(&self) {
        if self.down.lock().take().is_some() {
            tracing::info!("the schema registry answers again");
            self.is_down.send_replace(false);
        }
    }

    /// It did not answer as it should.
    pub fn failed(&self, why: &str) {
        let mut down = self.down.lock();
        let delay = down.as_ref().map_or(FIRST_DELAY, |down| (down.delay * 2).min(LONGEST_DELAY));
        if down.is_none() {
            tracing::warn!(why, "the schema registry is not available: what needs a new schema waits");
        }
        *down = Some(Down { ask_at: Instant::now() + delay, delay, why: why.to_owned() });
        self.is_down.send_replace(true);
    }

    /// Waits until it is worth asking again.
    pub async fn over(&self) {
        let mut is_down = self.is_down.subscribe();
        let Some(ask_at) = self.down.lock().as_ref().map(|down| down.ask_at) else { return };
        tokio::select! {
            () = sleep_until(ask_at) => {}
            // The sender lives as long as this.
            _ = is_down.wait_for(|is_down| !is_down) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_asks_again_ever_more_rarely_and_an_answer_wakes_all() {
        let outage = Outage::new();
        outage.may_ask().unwrap();
        let mut waits = Vec::new();
        for _ in 0..8 {
            outage.failed("refused");
            assert_eq!(outage.may_ask(), Err("refused".to_owned()));
            let before = Instant::now();
            outage.over().await;
            waits.push(before.elapsed().as_millis());
            outage.may_ask().unwrap();
            assert!(outage.may_ask().is_err(), "somebody asks already");
        }
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        let waiting = outage.over();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        outage.answered();
        let before = Instant::now();
        waiting.await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        outage.may_ask().unwrap();
    }
}
