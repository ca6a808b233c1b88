//! What the receiver knows of one path.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use standardwebhooks::{Webhook, WebhookError};
use tokio::sync::watch;

use super::Received;
use super::behaviour::{Answer, Behaviour, Script};

pub(super) struct PathState {
    script: Mutex<Script>,
    verifier: Mutex<Option<Webhook>>,
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    bad_signatures: AtomicUsize,
}

impl Default for PathState {
    fn default() -> Self {
        Self {
            script: Mutex::default(),
            verifier: Mutex::default(),
            received: Mutex::default(),
            count: watch::Sender::new(0),
            bad_signatures: AtomicUsize::new(0),
        }
    }
}

impl std::fmt::Debug for PathState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PathState").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl PathState {
    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.script.lock() = Script::new(behaviour);
    }

    pub(super) fn verify(&self, secret: &str) -> Result<(), WebhookError> {
        *self.verifier.lock() = Some(Webhook::new(secret)?);
        Ok(())
    }

    /// Records a request and decides its answer.
    pub(super) fn take(&self, mut received: Received) -> Answer {
        let signed = self.verifier.lock().as_ref().map(|webhook| webhook.verify(&received.body, &received.headers));
        if matches!(signed, Some(Err(_))) {
            self.bad_signatures.fetch_add(1, Ordering::Relaxed);
        }
        let mut answer = self.script.lock().next(received.webhook_id());
        if let Answer::Echo(_, text) = &mut answer {
            let target = received.uri.path_and_query().map_or("", |target| target.as_str());
            *text = format!("Cannot {} {target}\n{:?}", received.method, received.headers);
        }
        received.answered = answer.status();
        let mut all = self.received.lock();
        all.push(received);
        self.count.send_replace(all.len());
        answer
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().clone()
    }

    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    pub(super) fn bad_signatures(&self) -> usize {
        self.bad_signatures.load(Ordering::Relaxed)
    }

    pub(super) async fn wait_for(&self, count: usize) {
        let mut arrived = self.count.subscribe();
        arrived.wait_for(|arrived| *arrived >= count).await.expect("the sender is ours");
    }
}
