//! How parts of a process are told to stop, and how they say whether they can work.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Soft: take no more work and finish what was begun. Hard: abandon what is left.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Stop taking work.
    pub soft: CancellationToken,
    /// Abandon what is left.
    pub hard: CancellationToken,
}

impl Shutdown {
    /// Neither requested yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Which parts of the process can work, and why the others can't. Clones share one registry.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Result<(), String>>>>);

impl Readiness {
    /// An empty registry: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part, unready until it says otherwise.
    pub fn register(&self, part: impl Into<String>) -> ReadinessHandle {
        let part = part.into();
        self.0.lock().insert(part.clone(), Err("starting".to_owned()));
        ReadinessHandle { part, registry: self.clone() }
    }

    /// Every part by name, with why it is unready.
    pub fn report(&self) -> Vec<(String, Result<(), String>)> {
        self.0.lock().iter().map(|(part, state)| (part.clone(), state.clone())).collect()
    }

    /// Whether every part is ready.
    pub fn is_ready(&self) -> bool {
        self.0.lock().values().all(Result::is_ok)
    }
}

/// One part's entry in a [`Readiness`]; removed when dropped.
#[derive(Debug)]
pub struct ReadinessHandle {
    part: String,
    registry: Readiness,
}

impl ReadinessHandle {
    /// The part can work.
    pub fn ready(&self) {
        if let Some(state) = self.registry.0.lock().get_mut(&self.part) {
            *state = Ok(());
        }
    }

    /// The part can't work, and why.
    pub fn unready(&self, reason: impl Into<String>) {
        if let Some(state) = self.registry.0.lock().get_mut(&self.part) {
            *state = Err(reason.into());
        }
    }
}

impl Drop for ReadinessHandle {
    fn drop(&mut self) {
        self.registry.0.lock().remove(&self.part);
    }
}
