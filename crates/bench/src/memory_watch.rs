//! Watches a process' memory while something goes on.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postrider_testkit::usage::resident_bytes;
use tokio_util::task::AbortOnDropHandle;

const INTERVAL: Duration = Duration::from_millis(50);

/// Looks at a process every few milliseconds until it is asked.
pub struct MemoryWatch {
    samples: Arc<Mutex<Vec<u64>>>,
    _watching: AbortOnDropHandle<()>,
}

/// Resident memory over a time, bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// The most.
    pub peak: u64,
    /// Half of the time it was less.
    pub median: u64,
}

impl MemoryWatch {
    /// Begins to look at process `pid`.
    pub fn start(pid: u32) -> Self {
        let samples = Arc::new(Mutex::new(vec![resident_bytes(pid)]));
        let into = Arc::clone(&samples);
        let watching = tokio::spawn(async move {
            let mut interval = tokio::time::interval(INTERVAL);
            loop {
                interval.tick().await;
                into.lock().push(resident_bytes(pid));
            }
        });
        Self { samples, _watching: AbortOnDropHandle::new(watching) }
    }

    /// What was seen.
    pub fn finish(self) -> Memory {
        let mut samples = std::mem::take(&mut *self.samples.lock());
        samples.sort_unstable();
        Memory { peak: samples[samples.len() - 1], median: samples[samples.len() / 2] }
    }
}
