//! Writing the layout's entry on resizing: one process at a time.

use super::{Entries, LayoutError, RESIZE_KEY, Resize, entry, read};
use crate::{Codec, KafkaConfig, TableReader, Topics, TransactionalProducer};

/// Writes how the topics are being resized. Whoever takes this over fences all who did before.
#[derive(Debug)]
pub struct LayoutEditor {
    topic: String,
    producer: TransactionalProducer,
}

impl LayoutEditor {
    /// Takes over from whoever has begun before, and reads what is there.
    pub async fn take_over(kafka: &KafkaConfig, topics: &Topics) -> Result<(Self, Resize), LayoutError> {
        let failed = |error| LayoutError::Topic(format!("a resize can't begin: {error}"));
        let producer = TransactionalProducer::init(kafka, &topics.group("resize")).await.map_err(failed)?;
        let topic = topics.layout();
        let mut reader = TableReader::start(kafka, &topic).map_err(LayoutError::Topic)?;
        let mut entries = Entries::default();
        read(&mut reader, &Codec::new(), &mut entries).await?;
        Ok((Self { topic, producer }, entries.followed.resize))
    }

    /// Writes this; every process that follows the layout sees it.
    pub async fn write(&self, resize: &Resize) -> Result<(), LayoutError> {
        let text = serde_json::to_vec(resize).expect("numbers are JSON");
        let written = self.producer.publish(vec![entry(&self.topic, RESIZE_KEY, Some(text.into()))]).await;
        written.map_err(|error| LayoutError::Topic(format!("the resize can't go on: {error}")))
    }
}
