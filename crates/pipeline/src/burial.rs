//! The dead-letter queue, as every stage writes it.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{
    Delivery, DeliveryEvent, DeliveryEventBody, ErrorClass, Routing,
    delivery_event::{DeadLetter, DeadLettered},
};
use postrider_kafka::{Layout, ProduceError, Sink, Topics};

use crate::{matcher::Unmapped, outgoing};

/// Ends deliveries in the dead-letter queue.
#[derive(Debug, Clone)]
pub(crate) struct Burial<S> {
    sink: S,
    layout: Layout,
    delivery_events: Arc<str>,
    dlq: Arc<str>,
}

impl<S: Sink> Burial<S> {
    /// Writes to the deployment of those topics.
    pub(crate) fn new(sink: S, layout: Layout, topics: &Topics) -> Self {
        Self { sink, layout, delivery_events: topics.delivery_events().into(), dlq: topics.dlq().into() }
    }

    /// Ends a delivery that no topic takes, or whose body no request may have, before the attempt that `routing`
    /// names: a dead letter without the body, and its event. `message` says how large it was.
    pub(crate) async fn too_large(
        &self,
        delivery: Delivery,
        routing: &Routing,
        message: String,
    ) -> Result<(), ProduceError> {
        self.bodyless(delivery, routing, ErrorClass::PayloadTooLarge, message).await
    }

    /// Ends a delivery whose event can't be mapped: a dead letter without a body that says where and why, and its
    /// event.
    pub(crate) async fn unmapped(&self, unmapped: Unmapped, routing: &Routing) -> Result<(), ProduceError> {
        let Unmapped { delivery, error } = unmapped;
        self.bodyless(delivery, routing, error.class(), error.to_string()).await
    }

    async fn bodyless(
        &self,
        delivery: Delivery,
        routing: &Routing,
        error: ErrorClass,
        message: String,
    ) -> Result<(), ProduceError> {
        let now = self.sink.clock().now();
        let delivery = Delivery { body: Bytes::new(), ..delivery };
        let body = DeliveryEventBody::DeadLettered(DeadLettered { error, error_message: Some(message.clone()) });
        let event = DeliveryEvent::of(&delivery, routing, now, body);
        let letter = DeadLetter::before_attempt(delivery, routing, error, message, now);
        let event = self.sink.send(outgoing::delivery_event(&self.layout, &self.delivery_events, &event));
        tokio::try_join!(self.letter(&letter), event)?;
        Ok(())
    }

    /// Writes `letter`; without the body, if the record is too large with it.
    pub(crate) async fn letter(&self, letter: &DeadLetter) -> Result<(), ProduceError> {
        metrics::counter!("postrider_dead_letters_total", "error" => letter.error.as_str()).increment(1);
        match self.sink.send(outgoing::dead_letter(&self.layout, &self.dlq, letter)).await {
            Err(ProduceError::TooLarge { .. }) => {
                let mut bodyless = letter.clone();
                bodyless.delivery.body = Bytes::new();
                self.sink.send(outgoing::dead_letter(&self.layout, &self.dlq, &bodyless)).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}
