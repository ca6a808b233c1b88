//! A client that writes, and says of each record what became of it.
//!
//! What the crate's `FutureProducer` does, but for the thread that asks for the reports: that one asks ten times a second
//! and spends the last millisecond of each wait in a loop, a hundredth of a processor for each idle client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Timestamp,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, ProducerContext},
};
use tokio::sync::oneshot;

use crate::{Outgoing, client_log};

/// How late the thread notices that nobody writes any more. Reports wake it.
const POLL: Duration = Duration::from_secs(5);

/// A record that the brokers have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivered {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Timestamp,
}

/// What became of a record.
pub(crate) type Report = Result<Delivered, KafkaError>;

/// Hands each report to who waits for it.
#[derive(Debug)]
pub(crate) struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_log::report(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Report>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let report = match result {
            Ok(message) => Ok(Delivered {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp(),
            }),
            Err((error, _)) => Err(error.clone()),
        };
        // Nobody may wait for it any more.
        let _ = waiting.send(report);
    }
}

/// The client and its thread, which ends soon after the last clone. Clones share it.
#[derive(Clone)]
pub(crate) struct ReportedProducer(Arc<Polled>);

struct Polled {
    client: Arc<BaseProducer<Reports>>,
    stopped: Arc<AtomicBool>,
}

impl ReportedProducer {
    /// Error: a property is not one, or the thread can't be started.
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, String> {
        let client: BaseProducer<Reports> =
            config.create_with_context(Reports).map_err(|error| format!("kafka.properties: {error}"))?;
        let (client, stopped) = (Arc::new(client), Arc::new(AtomicBool::new(false)));
        let (polled, until) = (client.clone(), stopped.clone());
        std::thread::Builder::new()
            .name("reports".to_owned())
            .spawn(move || {
                while !until.load(Ordering::Relaxed) {
                    polled.poll(POLL);
                }
            })
            .map_err(|error| format!("can't start a thread for a producer: {error}"))?;
        Ok(Self(Arc::new(Polled { client, stopped })))
    }

    /// Hands a record to the client. Error: it takes none, or not this one.
    pub(crate) fn send(&self, record: &Outgoing) -> Result<oneshot::Receiver<Report>, KafkaError> {
        let (waiting, report) = oneshot::channel();
        let sent = BaseRecord {
            topic: &record.topic,
            partition: record.partition,
            payload: record.value.as_deref(),
            key: Some(&*record.key),
            timestamp: None,
            headers: Some(record.headers.to_kafka()),
            delivery_opaque: Box::new(waiting),
        };
        self.0.client.send::<[u8], [u8]>(sent).map(|()| report).map_err(|(error, _)| error)
    }

    /// The client itself.
    pub(crate) fn client(&self) -> &BaseProducer<Reports> {
        &self.0.client
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
