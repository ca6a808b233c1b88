//! Where the projector starts to read: where its log in Postgres ends.

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use postrider_kafka::PositionSource;
use postrider_postgres::{Error, projector_offsets};

use super::Shared;

const PART: &str = "positions";

/// The offsets in Postgres.
#[derive(Debug)]
pub struct LogPositions(pub Arc<Shared>);

impl PositionSource for LogPositions {
    fn next_offsets(&self, topic: String, partitions: Vec<i32>) -> BoxFuture<'_, Result<HashMap<i32, i64>, String>> {
        Box::pin(async move {
            let found = self.read(&topic, &partitions).await.map_err(|error| error.to_string());
            match &found {
                Ok(_) => self.0.health.fine(PART),
                Err(error) => self.0.health.trouble(PART, format!("the log's offsets can't be read: {error}")),
            }
            found
        })
    }
}

impl LogPositions {
    async fn read(&self, topic: &str, partitions: &[i32]) -> Result<HashMap<i32, i64>, Error> {
        let mut connection = self.0.pool.acquire().await?;
        projector_offsets::get_all(&mut connection, topic, partitions).await
    }
}
