//! Reads the events of one record of a source again, for whoever asks what became of them.

use std::{sync::Arc, time::Duration};

use postrider_domain::{Event, SourceCoordinates};
use postrider_kafka::RecordFetcher;
use tokio::time::timeout;

use super::{
    avro::{Decoder, Schemas},
    source::SourceConfig,
};

/// How long the schema of a record may take.
const SCHEMA_LIMIT: Duration = Duration::from_secs(5);

/// Looks events up by where their records stand.
#[derive(Debug)]
pub struct EventLookup {
    fetcher: RecordFetcher,
    decoders: Vec<Decoder>,
}

/// Why there are no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEvents {
    /// No source reads there, or nothing stands there (any more).
    #[error("no event stands there")]
    Gone,
    /// What stands there is no event, for this reason.
    #[error("{0}")]
    Rejected(String),
    /// It can't be told for now.
    #[error("{0}")]
    Unavailable(String),
}

impl EventLookup {
    /// Looks with the same eyes as the matchers of `sources`.
    pub fn new(fetcher: RecordFetcher, sources: Vec<SourceConfig>, schemas: Option<&Arc<dyn Schemas>>) -> Self {
        let decoder = |source| Decoder::new(Arc::new(source), schemas.cloned(), None);
        Self { fetcher, decoders: sources.into_iter().map(decoder).collect() }
    }

    /// The events of the record that stands there, in the order of the batch that they may be; of each source that reads
    /// there.
    pub async fn events_at(&self, at: &SourceCoordinates) -> Result<Vec<Event>, NoEvents> {
        let readers = || self.decoders.iter().filter(|decoder| decoder.source().topics.has(&at.topic));
        if readers().next().is_none() {
            return Err(NoEvents::Gone);
        }
        let record = self.fetcher.fetch(at).await.map_err(NoEvents::Unavailable)?.ok_or(NoEvents::Gone)?;
        let (mut events, mut rejected) = (Vec::new(), None);
        for decoder in readers() {
            let decoded = timeout(SCHEMA_LIMIT, decoder.try_decode(&record)).await;
            let decoded = decoded.unwrap_or_else(|_| Err("the schema registry takes too long".to_owned()));
            let decoded = decoded.map_err(NoEvents::Unavailable)?;
            events.extend(decoded.events);
            rejected = rejected.or_else(|| decoded.rejections.into_iter().next());
        }
        match rejected {
            Some(rejection) if events.is_empty() => Err(NoEvents::Rejected(rejection.message)),
            _ => Ok(events),
        }
    }
}
