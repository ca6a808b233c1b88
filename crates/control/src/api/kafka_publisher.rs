//! Publishing to Kafka: CloudEvents binary on `<prefix>.events`, a source like any other.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use postrider_kafka::{Headers, Layout, Outgoing, ProduceError, Producer};

use super::state::{EventToPublish, PublishError, Published, Publisher};

/// The CloudEvents `source` of what is published over HTTP.
pub(super) const HTTP_SOURCE: &str = "/v1/events";
/// The name of the source that is configured for it in every deployment.
pub const HTTP_SOURCE_NAME: &str = "events";

/// Writes events with the deployment's producer.
pub struct KafkaPublisher {
    producer: Producer,
    layout: Layout,
    topic: Arc<str>,
}

impl KafkaPublisher {
    /// Writes to `topic`, in the partition that the layout gives each key.
    pub fn new(producer: Producer, layout: Layout, topic: impl Into<Arc<str>>) -> Self {
        Self { producer, layout, topic: topic.into() }
    }

    async fn write(&self, event: EventToPublish) -> Result<Published, PublishError> {
        let key = event.subject.clone().unwrap_or_else(|| event.id.clone());
        let record = Outgoing {
            topic: self.topic.clone(),
            partition: Some(self.layout.partition(&self.topic, &key)),
            key: key.into(),
            headers: headers(&event),
            value: Some(event.data),
        };
        match self.producer.send(&record).await {
            Ok(ack) => Ok(Published { topic: self.topic.to_string(), partition: ack.partition, offset: ack.offset }),
            Err(error @ ProduceError::TooLarge { .. }) => Err(PublishError::TooLarge(error.to_string())),
            Err(error) => Err(PublishError::Unavailable(error.to_string())),
        }
    }
}

impl Publisher for KafkaPublisher {
    fn publish(&self, event: EventToPublish) -> BoxFuture<'_, Result<Published, PublishError>> {
        self.write(event).boxed()
    }
}

/// CloudEvents 1.0, Kafka protocol binding, binary mode.
fn headers(event: &EventToPublish) -> Headers {
    let mut headers = Headers::new();
    let mut push = |name: &'static str, value: &str| headers.push(name, Bytes::copy_from_slice(value.as_bytes()));
    push("ce_specversion", "1.0");
    push("ce_id", &event.id);
    push("ce_source", HTTP_SOURCE);
    push("ce_type", &event.event_type);
    push("ce_time", &event.time.to_rfc3339());
    push("ce_tenant", event.tenant.as_str());
    if let Some(subject) = &event.subject {
        push("ce_subject", subject);
    }
    push("content-type", "application/json");
    headers
}

#[cfg(test)]
mod tests {
    use postrider_domain::{TenantId, Timestamp};

    use super::*;

    #[test]
    fn an_event_is_written_as_binary_cloudevents() {
        let headers = headers(&EventToPublish {
            id: "evt-1".to_owned(),
            event_type: "order.created".to_owned(),
            tenant: TenantId::from_trusted("ten_1"),
            subject: Some("ord_1".to_owned()),
            time: Timestamp::from_millis(1_000),
            data: Bytes::from_static(b"{}"),
        });
        assert_eq!(headers.get_str("ce_specversion"), Some("1.0"));
        assert_eq!(headers.get_str("ce_id"), Some("evt-1"));
        assert_eq!(headers.get_str("ce_type"), Some("order.created"));
        assert_eq!(headers.get_str("ce_tenant"), Some("ten_1"));
        assert_eq!(headers.get_str("ce_subject"), Some("ord_1"));
        assert_eq!(headers.get_str("ce_time"), Some("1970-01-01T00:00:01.000Z"));
        assert_eq!(headers.get_str("content-type"), Some("application/json"));
    }
}
