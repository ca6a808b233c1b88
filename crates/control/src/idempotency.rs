//! Which idempotent request is being executed, so that its change can say in its own transaction that it was made.

use std::sync::Arc;

use parking_lot::Mutex;
use postrider_postgres::{Error, PgConnection, idempotency};
use rand::{SeedableRng as _, rngs::StdRng};

tokio::task_local! {
    static EXECUTING: Arc<Mutex<Option<Claimed>>>;
}

/// The request that a task executes, once it is claimed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Execution(Arc<Mutex<Option<Claimed>>>);

#[derive(Debug, Clone, Copy)]
struct Claimed {
    claim: i64,
    seed: [u8; 32],
}

impl Execution {
    /// Notes the claim, and what follows from who asks for what under which key: another request has another seed.
    pub fn begin(&self, claim: i64, seed: [u8; 32]) {
        *self.0.lock() = Some(Claimed { claim, seed });
    }

    /// The claim, if there is one.
    pub fn claim(&self) -> Option<i64> {
        self.0.lock().map(|claimed| claimed.claim)
    }

    /// Runs `work` as the execution of this claim.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        EXECUTING.scope(Arc::clone(&self.0), work).await
    }
}

/// Notes in a change's transaction that the request in execution is done, if it is to be executed only once.
pub(crate) async fn mark_done(conn: &mut PgConnection) -> Result<(), Error> {
    match claimed() {
        Some(Claimed { claim, .. }) => idempotency::mark_done(conn, claim).await,
        None => Ok(()),
    }
}

/// For the request in execution, if it has an `Idempotency-Key`: a generator that is the same each time the request is
/// executed. What is written to Kafka alone may have been written though the request failed, and has to have the same
/// ids when it is sent again.
pub(crate) fn repeatable_rng() -> Option<StdRng> {
    claimed().map(|claimed| StdRng::from_seed(claimed.seed))
}

fn claimed() -> Option<Claimed> {
    EXECUTING.try_with(|claimed| *claimed.lock()).ok().flatten()
}
