//! Why something can't be done with a replay job.

use postrider_domain::{JobId, replay::ReplayState};
use postrider_kafka::{AdminError, ProduceError};

/// Why something can't be done with a replay job.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// What was asked for can't be.
    #[error("{field}: {message}")]
    Refused {
        /// The offending field.
        field: &'static str,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// There is no such job.
    #[error("there is no replay {0}: `postrider replay list` has them all")]
    NotFound(JobId),
    /// It has ended, so that nothing can be changed about it.
    #[error("replay {id} has ended ({})", state.as_str())]
    Ended {
        /// The job.
        id: JobId,
        /// How.
        state: ReplayState,
    },
    /// Kafka does not answer as it should.
    #[error("{0}")]
    Kafka(String),
}

impl ReplayError {
    pub(super) fn refused(field: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { field, message: message.into() }
    }
}

impl From<AdminError> for ReplayError {
    fn from(error: AdminError) -> Self {
        Self::Kafka(error.to_string())
    }
}

impl From<ProduceError> for ReplayError {
    fn from(error: ProduceError) -> Self {
        Self::Kafka(error.to_string())
    }
}
