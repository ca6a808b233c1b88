//! Where stages write, so that their tests need no brokers.

use std::future::Future;

use postrider_kafka::{Ack, BrokerClock, Outgoing, ProduceError, Producer};

#[cfg(test)]
mod fake;

#[cfg(test)]
pub(crate) use fake::FakeSink;

/// Where a stage writes: the producer, or a fake in a stage's tests.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Writes a record and waits until the brokers have it.
    fn send(&self, record: Outgoing) -> impl Future<Output = Result<Ack, ProduceError>> + Send;

    /// Broker time, as the acknowledgements taught it.
    fn clock(&self) -> BrokerClock;
}

impl Sink for Producer {
    async fn send(&self, record: Outgoing) -> Result<Ack, ProduceError> {
        Producer::send(self, &record).await
    }

    fn clock(&self) -> BrokerClock {
        Producer::clock(self).clone()
    }
}
