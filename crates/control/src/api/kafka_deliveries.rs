//! Deliveries where they stand in Kafka: read again, sent ahead of their time, and orders about them.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use postrider_domain::{
    SourceCoordinates,
    overrides::{Override, override_key},
};
use postrider_kafka::{
    DecodeError, GroupLag, Headers, KafkaConfig, Layout, Outgoing, Producer, RecordFetcher, Topics,
    routing_from_headers, routing_to_headers,
};

use super::state::{DeliveryStore, StoredDelivery};

/// Reads and writes the deployment's topics.
pub struct KafkaDeliveries {
    fetcher: RecordFetcher,
    producer: Producer,
    layout: Layout,
    lag: GroupLag,
    deliveries: Arc<str>,
    overrides: Arc<str>,
}

impl KafkaDeliveries {
    /// Of the deployment with these topics. Error: a client property is not one.
    pub fn new(
        kafka: &KafkaConfig,
        fetcher: RecordFetcher,
        producer: Producer,
        layout: Layout,
        topics: &Topics,
    ) -> Result<Self, String> {
        let (deliveries, overrides) = (topics.deliveries(), topics.overrides());
        let lag = GroupLag::new(kafka, &topics.dispatcher_group(), &deliveries, layout.partitions(&deliveries))?;
        Ok(Self { fetcher, producer, layout, lag, deliveries: deliveries.into(), overrides: overrides.into() })
    }

    async fn read(&self, at: &SourceCoordinates) -> Result<Option<StoredDelivery>, String> {
        let Some(record) = self.fetcher.fetch(at).await? else { return Ok(None) };
        let Some(value) = record.value else { return Ok(None) };
        let delivery = match self.layout.codec().decode(&value) {
            Ok(delivery) => delivery,
            // It is not what stood there when it was logged.
            Err(DecodeError::Corrupt(_)) => return Ok(None),
            Err(error @ DecodeError::UnknownSchema(_)) => return Err(error.to_string()),
        };
        Ok(routing_from_headers(&record.headers).ok().map(|routing| StoredDelivery { value, delivery, routing }))
    }

    async fn write(&self, topic: &Arc<str>, key: &str, value: Bytes, headers: Headers) -> Result<(), String> {
        let record = Outgoing {
            topic: topic.clone(),
            partition: Some(self.layout.partition(topic, key)),
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Some(value),
            headers,
        };
        self.producer.send(&record).await.map(drop).map_err(|error| error.to_string())
    }
}

impl DeliveryStore for KafkaDeliveries {
    fn read<'a>(&'a self, at: &'a SourceCoordinates) -> BoxFuture<'a, Result<Option<StoredDelivery>, String>> {
        self.read(at).boxed()
    }

    fn send<'a>(&'a self, stored: &'a StoredDelivery) -> BoxFuture<'a, Result<(), String>> {
        let StoredDelivery { value, delivery, routing } = stored;
        self.write(&self.deliveries, delivery.endpoint.as_str(), value.clone(), routing_to_headers(routing)).boxed()
    }

    fn order<'a>(&'a self, order: &'a Override) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let key = override_key(&order.message_id, &order.run);
            self.write(&self.overrides, &key, self.layout.codec().encode(order), Headers::new()).await
        }
        .boxed()
    }

    fn queued(&self) -> BoxFuture<'_, Result<i64, String>> {
        async { Ok(self.lag.by_partition().await?.values().sum()) }.boxed()
    }
}
