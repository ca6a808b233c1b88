//! Which idempotent request is being executed, so that its change can say in its own transaction that it was made.

use std::sync::Arc;

use parking_lot::Mutex;
use postrider_postgres::{Error, PgConnection, idempotency};

tokio::task_local! {
    static EXECUTING: Arc<Mutex<Option<i64>>>;
}

/// The claim of the request that a task executes, once it has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Execution(Arc<Mutex<Option<i64>>>);

impl Execution {
    /// Notes the claim.
    pub fn begin(&self, claim: i64) {
        *self.0.lock() = Some(claim);
    }

    /// The claim, if there is one.
    pub fn claim(&self) -> Option<i64> {
        *self.0.lock()
    }

    /// Runs `work` as the execution of this claim.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        EXECUTING.scope(Arc::clone(&self.0), work).await
    }
}

/// Notes in a change's transaction that the request in execution is done, if it is to be executed only once.
pub(crate) async fn mark_done(conn: &mut PgConnection) -> Result<(), Error> {
    let claim = EXECUTING.try_with(|claim| *claim.lock()).ok().flatten();
    match claim {
        Some(claim) => idempotency::mark_done(conn, claim).await,
        None => Ok(()),
    }
}
