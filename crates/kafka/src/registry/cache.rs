//! Schemas that were fetched, and ids that turned out to be of none, for a while. What was used longest ago goes first.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::{avro::AvroSchema, client::FetchError};

/// The most memory that schemas take, as far as they know it themselves.
const MAX_BYTES: usize = 64 << 20;

/// What is known of an id.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// Its schema.
    Schema(Arc<AvroSchema>),
    /// There is none, or none that can be read.
    Nothing(Nothing),
}

/// Why there is no schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nothing {
    /// The registry does not know the id.
    Unknown,
    /// It is not a schema that can be read, and why.
    Unusable(Arc<str>),
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// Until when nothing is believed; a schema never changes.
    until: Option<Instant>,
    used: AtomicU64,
}

/// Schemas by what names them.
#[derive(Debug)]
pub(super) struct Cache<K> {
    entries: RwLock<HashMap<K, Entry>>,
    /// Who fetches at the moment.
    flights: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
    uses: AtomicU64,
    max_entries: usize,
    nothing_for: Duration,
}

impl<K: Copy + Eq + Hash> Cache<K> {
    pub fn new(max_entries: usize, nothing_for: Duration) -> Self {
        Self {
            entries: RwLock::default(),
            flights: Mutex::default(),
            uses: AtomicU64::new(0),
            max_entries: max_entries.max(1),
            nothing_for,
        }
    }

    /// What is known of `key`, by fetching it if nothing is; whoever asks for it meanwhile waits for the same answer.
    /// Error: it can't be fetched now.
    pub async fn get(
        &self,
        key: K,
        fetch: impl Future<Output = Result<AvroSchema, FetchError>>,
    ) -> Result<Known, String> {
        if let Some(known) = self.look_up(key) {
            return Ok(known);
        }
        let flight = {
            let mut flights = self.flights.lock();
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            flights.entry(key).or_default().clone()
        };
        let _turn = flight.lock().await;
        if let Some(known) = self.look_up(key) {
            return Ok(known);
        }
        let known = match fetch.await {
            Ok(schema) => Known::Schema(Arc::new(schema)),
            Err(FetchError::Unknown) => Known::Nothing(Nothing::Unknown),
            Err(FetchError::Unusable(why)) => Known::Nothing(Nothing::Unusable(why.into())),
            Err(FetchError::Unavailable(why)) => return Err(why),
        };
        self.insert(key, known.clone());
        Ok(known)
    }

    fn look_up(&self, key: K) -> Option<Known> {
        let entries = self.entries.read();
        let entry = entries.get(&key)?;
        if entry.until.is_some_and(|until| until <= Instant::now()) {
            return None;
        }
        entry.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(entry.known.clone())
    }

    fn insert(&self, key: K, known: Known) {
        let until = matches!(known, Known::Nothing(_)).then(|| Instant::now() + self.nothing_for);
        let used = AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed));
        let mut entries = self.entries.write();
        entries.insert(key, Entry { known, until, used });
        let bytes = |entry: &Entry| match &entry.known {
            Known::Schema(schema) => schema.bytes(),
            Known::Nothing(_) => 0,
        };
        let mut total: usize = entries.values().map(bytes).sum();
        while entries.len() > 1 && (entries.len() > self.max_entries || total > MAX_BYTES) {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
            let oldest = *oldest.expect("there are several").0;
            total -= entries.remove(&oldest).map_or(0, |entry| bytes(&entry));
        }
        #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
        metrics::gauge!("postrider_schema_registry_schemas").set(entries.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn schema() -> AvroSchema {
        AvroSchema::parse("\"string\"", []).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_schema_is_fetched_once_by_all_who_ask_for_it_at_once() {
        let (cache, fetched) = (Cache::new(10, Duration::from_secs(30)), AtomicU32::new(0));
        let ask = || {
            cache.get(7, async {
                fetched.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(schema())
            })
        };
        let all = futures::join!(ask(), ask(), ask());
        assert!(matches!(all, (Ok(Known::Schema(_)), Ok(Known::Schema(_)), Ok(Known::Schema(_)))));
        ask().await.unwrap();
        assert_eq!(fetched.into_inner(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_id_is_asked_for_again_after_a_while_and_an_outage_is_not_remembered() {
        let cache = Cache::new(10, Duration::from_secs(30));
        let known = cache.get(7, async { Err(FetchError::Unknown) }).await;
        assert!(matches!(known, Ok(Known::Nothing(Nothing::Unknown))));
        tokio::time::advance(Duration::from_secs(29)).await;
        let known = cache.get(7, async { Ok(schema()) }).await;
        assert!(matches!(known, Ok(Known::Nothing(Nothing::Unknown))), "it is believed still");
        tokio::time::advance(Duration::from_secs(1)).await;
        let down = cache.get(7, async { Err(FetchError::Unavailable("refused".to_owned())) }).await;
        assert_eq!(down.unwrap_err(), "refused");
        assert!(matches!(cache.get(7, async { Ok(schema()) }).await, Ok(Known::Schema(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_used_longest_ago_makes_room() {
        let cache = Cache::new(2, Duration::from_secs(30));
        for key in [1, 2, 1, 3] {
            cache.get(key, async { Ok(schema()) }).await.unwrap();
        }
        let fetched_again = async |key| cache.get(key, async { Err(FetchError::Unknown) }).await.unwrap();
        assert!(matches!(fetched_again(1).await, Known::Schema(_)));
        assert!(matches!(fetched_again(2).await, Known::Nothing(_)));
    }
}
