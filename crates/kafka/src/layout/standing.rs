//! Following how the generation that a process works on stands, and being sure of it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use super::{CLOCK_KEY, Resize, Standing, entry};
use crate::{ProduceError, Producer};

/// For how long it counts that a generation was in use: shorter than a consumer group's session, so that a process
/// that was frozen for longer than that asks again.
const LATELY: Duration = Duration::from_secs(2);

/// What was read of the layout.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Followed {
    pub resize: Resize,
    /// The offset after the last record.
    pub next_offset: i64,
}

/// How the generation that a process works on stands.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    generation: u32,
    followed: Arc<watch::Sender<Followed>>,
    /// How to be sure: by writing to the layout and reading up to that.
    asks: Option<(Producer, Arc<str>)>,
    sure_at: Arc<Mutex<Option<Instant>>>,
}

impl Watch {
    pub(super) fn new(generation: u32, followed: Followed, asks: Option<(Producer, Arc<str>)>) -> Self {
        Self { generation, followed: Arc::new(watch::Sender::new(followed)), asks, sure_at: Arc::default() }
    }

    pub(super) fn followed(&self) -> Arc<watch::Sender<Followed>> {
        self.followed.clone()
    }

    pub(super) fn standing(&self) -> Standing {
        self.followed.borrow().resize.standing(self.generation)
    }

    pub(super) async fn wait_until(&self, is_so: impl Fn(Standing) -> bool) -> Standing {
        let mut followed = self.followed.subscribe();
        let seen = followed.wait_for(|followed| is_so(followed.resize.standing(self.generation))).await;
        seen.expect("the sender lives in this").resize.standing(self.generation)
    }

    /// Whether the generation was in use when this was asked: all that was written to the layout before is read first.
    pub(super) async fn is_surely_in_use(&self) -> Result<bool, ProduceError> {
        if let Some((producer, topic)) = &self.asks {
            let asked = producer.send(&entry(topic, CLOCK_KEY, None)).await?;
            let mut followed = self.followed.subscribe();
            let read = followed.wait_for(|followed| followed.next_offset > asked.offset).await;
            drop(read.expect("the sender lives in this"));
        }
        Ok(self.standing() == Standing::InUse)
    }

    /// The same, but what was asked shortly before is not asked again, nor by many at once.
    pub(super) async fn was_lately_in_use(&self) -> Result<bool, ProduceError> {
        let mut sure_at = self.sure_at.lock().await;
        if sure_at.is_none_or(|at| at.elapsed() >= LATELY) {
            let asked_at = Instant::now();
            if !self.is_surely_in_use().await? {
                return Ok(false);
            }
            *sure_at = Some(asked_at);
        }
        Ok(self.standing() == Standing::InUse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BrokerClock, Codec, KafkaConfig, Shutdown, TableReader,
        layout::{Entries, RESIZE_KEY, follow, read},
        mock::MockBroker,
    };

    const TOPIC: &str = "p.layout";

    #[tokio::test]
    async fn who_asks_knows_all_that_was_written_before() {
        let broker = MockBroker::start(vec![(TOPIC.to_owned(), 1)]).unwrap();
        let kafka = KafkaConfig::embedded(broker.bootstrap_servers(), "test");
        let producer = Producer::new(&kafka, BrokerClock::new(true)).unwrap();
        let (codec, shutdown, mut entries) = (Codec::new(), Shutdown::new(), Entries::default());
        let mut reader = TableReader::start(&kafka, TOPIC).unwrap();
        read(&mut reader, &codec, &mut entries).await.unwrap();
        let watch = Watch::new(0, entries.followed, Some((producer.clone(), TOPIC.into())));
        follow(reader, codec, watch.followed(), shutdown.clone());
        assert_eq!(watch.was_lately_in_use().await, Ok(true));
        let begun = Resize::default().begun(5);
        for (resize, in_use) in [(begun, false), (begun.given_up(), true), (begun.finished(), false)] {
            let text = serde_json::to_vec(&resize).unwrap();
            producer.send(&entry(TOPIC, RESIZE_KEY, Some(text.into()))).await.unwrap();
            assert_eq!(watch.is_surely_in_use().await, Ok(in_use), "{resize:?}");
        }
        assert_eq!(watch.standing(), Standing::Superseded);
        shutdown.hard.cancel();
    }
}
