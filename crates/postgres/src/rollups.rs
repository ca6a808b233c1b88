//! Tables `rollup_deltas` and `rollups`: what deliveries came to, as the projector counted it, and added up by minute,
//! hour and day.

mod deltas;
mod failing;
mod read;
mod row;

pub use deltas::{Delta, insert_deltas, take_deltas};
pub use failing::{FailingEndpoint, failing};
pub use read::{EventTypes, Subject, TypeCount, event_types, read};
pub use row::{Rollup, RollupKey, get_all, insert_all, replace_all};

use sqlx::{Error, PgConnection};

/// The key of the advisory lock under which counts are added up ("postroll" in ASCII).
const LOCK: i64 = 0x706f_7374_726f_6c6c;

/// Takes the lock under which counts are added up, until the transaction ends. False if somebody else has it.
pub async fn try_lock(conn: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, LOCK).fetch_one(conn).await
}
