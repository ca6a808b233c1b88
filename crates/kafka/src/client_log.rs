//! What librdkafka says, in our log: errors that it recovers from by itself are warnings, ends of partitions
//! nothing at all.

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

/// A client context that does nothing but log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogContext;

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report(&error, reason);
    }
}

impl ConsumerContext for LogContext {}

/// A line of librdkafka's own log.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    if (level as i32) <= RDKafkaLogLevel::Warning as i32 {
        tracing::warn!(facility, "librdkafka: {message}");
    } else {
        tracing::debug!(facility, "librdkafka: {message}");
    }
}

/// An error that concerns a whole client.
pub(crate) fn report(error: &KafkaError, reason: &str) {
    // With `enable.partition.eof` librdkafka reports them as errors of the client too.
    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
        tracing::warn!(%error, "librdkafka: {reason}");
    }
}
