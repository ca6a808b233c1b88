//! Rotation: gives endpoints new secrets when their schedule says so.
//!
//! Any number of processes may do it: each endpoint's row is locked while its secret changes, and only the first finds it
//! due. One that can't be changed (its database is away, its key is missing) is tried again at the next look.

use std::{collections::HashSet, time::Duration};

use postrider_domain::{Timestamp, seal::KeyRing};
use postrider_kafka::Shutdown;
use postrider_postgres::{Database, endpoints};
use rand::CryptoRng;

use crate::{
    audit::Actor,
    clock,
    manage::{Edit, ManageError, Precondition, secrets},
};

/// How often it is looked whether something is due.
const INTERVAL: Duration = Duration::from_secs(30);
/// How many endpoints are looked up at a time.
const BATCH: usize = 100;

/// Changes secrets on schedule.
#[derive(Clone)]
pub struct Rotation {
    /// The database.
    pub pool: Database,
    /// The keys that seal secrets.
    pub key_ring: KeyRing,
}

impl Rotation {
    /// Works until the process stops.
    pub async fn run(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = shutdown.soft.cancelled() => return,
            }
            match self.rotate_due(clock::now(), &mut clock::rng()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "signing secrets were rotated on schedule"),
                Err(error) => tracing::warn!(%error, "signing secrets can't be rotated on schedule; trying again"),
            }
        }
    }

    /// Rotates every secret that is due by `now`; how many.
    pub async fn rotate_due(&self, now: Timestamp, rng: &mut (impl CryptoRng + Send)) -> Result<u64, ManageError> {
        self.rotate_due_by(BATCH, now, rng).await
    }

    /// The same, so many looked up at a time. Those that fail are still due, and must keep nobody else from their turn.
    pub(crate) async fn rotate_due_by(
        &self,
        batch: usize,
        now: Timestamp,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<u64, ManageError> {
        let actor = Actor::postrider();
        let precondition = Precondition::AnyVersion;
        let edit = Edit { pool: &self.pool, key_ring: &self.key_ring, actor: &actor, now, precondition: &precondition };
        let (mut rotated, mut left) = (0, HashSet::new());
        loop {
            let limit = i64::try_from(batch + left.len()).unwrap_or(i64::MAX);
            let mut conn = self.pool.acquire().await?;
            let mut due = endpoints::due_for_rotation(&mut conn, now, limit).await?;
            drop(conn);
            due.retain(|(_, endpoint)| !left.contains(endpoint));
            if due.is_empty() {
                return Ok(rotated);
            }
            for (tenant, endpoint) in due {
                match secrets::rotate_if_due(edit, &tenant, &endpoint, rng).await {
                    Ok(true) => rotated += 1,
                    Ok(false) => drop(left.insert(endpoint)),
                    Err(ManageError::Database(error)) => return Err(error.into()),
                    Err(error) => {
                        tracing::warn!(%endpoint, %error, "the endpoint's secret can't be rotated on schedule");
                        left.insert(endpoint);
                    }
                }
            }
        }
    }
}
