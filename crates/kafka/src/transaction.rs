//! A transactional producer: all records of a batch or none, and only from its newest instance.

use std::time::Duration;

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::Producer as _,
};

use crate::{KafkaConfig, Outgoing, reported::ReportedProducer};

const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a batch was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// A newer instance has taken over, or this one is broken: make a new one before going on.
    #[error("the transactional producer was fenced or failed for good: {0}")]
    Fenced(String),
    /// Nothing of it was published; it can be tried again.
    #[error("the transaction was aborted: {0}")]
    Aborted(String),
}

/// Publishes batches atomically under one transactional id.
#[derive(Clone)]
pub struct TransactionalProducer(ReportedProducer);

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer").finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    /// Takes over `transactional_id`: from here on every older instance is fenced.
    pub async fn init(kafka: &KafkaConfig, transactional_id: &str) -> Result<Self, TransactionError> {
        let config = kafka.transactional_producer(transactional_id);
        let producer = ReportedProducer::new(&config).map_err(TransactionError::Fenced)?;
        blocking(move || {
            producer.client().init_transactions(OPERATION_TIMEOUT)?;
            Ok(Self(producer))
        })
        .await
    }

    /// Publishes all of `records` in one transaction, or none of them.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), TransactionError> {
        let producer = self.0.clone();
        blocking(move || producer.client().begin_transaction()).await?;
        let written = self.write(&records).await;
        let producer = self.0.clone();
        let committed = match written {
            Ok(()) => blocking(move || producer.client().commit_transaction(OPERATION_TIMEOUT)).await,
            Err(error) => Err(error),
        };
        match committed {
            Err(TransactionError::Aborted(reason)) => {
                let producer = self.0.clone();
                blocking(move || producer.client().abort_transaction(OPERATION_TIMEOUT)).await?;
                Err(TransactionError::Aborted(reason))
            }
            other => other,
        }
    }

    async fn write(&self, records: &[Outgoing]) -> Result<(), TransactionError> {
        let mut acknowledgements = Vec::with_capacity(records.len());
        for record in records {
            acknowledgements.push(self.0.send(record).map_err(|error| classify(&error))?);
        }
        for acknowledgement in acknowledgements {
            let delivered = acknowledgement.await.map_err(|_| TransactionError::Fenced("it was closed".to_owned()))?;
            delivered.map_err(|error| classify(&error))?;
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, TransactionError> {
    let answer = tokio::task::spawn_blocking(call).await;
    answer.map_err(|error| TransactionError::Fenced(error.to_string()))?.map_err(|error| classify(&error))
}

fn classify(error: &KafkaError) -> TransactionError {
    let fatal = match error {
        KafkaError::Transaction(transaction) => transaction.is_fatal(),
        _ => matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::InvalidProducerEpoch
                    | RDKafkaErrorCode::State
            )
        ),
    };
    if fatal { TransactionError::Fenced(error.to_string()) } else { TransactionError::Aborted(error.to_string()) }
}
