//! Whom a backfill is for, as the directory's topic has it.

use postrider_domain::{ConfigBody, ConfigEntry, DirectoryVersion, EndpointId, SubscriptionId, TenantId};
use postrider_kafka::{Codec, DecodeError, KafkaConfig, TableEvent, TableReader, Topics};

use super::{BackfillOf, ReplayError};

/// Whom a backfill is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub tenant: TenantId,
    pub endpoint: EndpointId,
    pub subscription: Option<SubscriptionId>,
    /// The version that whoever replays must know. For a subscription, the one at which it came to be or changed last.
    pub version: DirectoryVersion,
}

/// Looks up whom a backfill is for.
pub(super) async fn find(
    kafka: &KafkaConfig,
    topics: &Topics,
    codec: &Codec,
    of: &BackfillOf,
) -> Result<Subject, ReplayError> {
    let (field, key) = match of {
        BackfillOf::Endpoint(id) => ("endpoint", id.as_str()),
        BackfillOf::Subscription(id) => ("subscription", id.as_str()),
    };
    let mut reader = TableReader::start(kafka, &topics.config()).map_err(ReplayError::Kafka)?;
    let mut latest = None;
    loop {
        match reader.next().await {
            Some(TableEvent::Record(record)) if record.key_str() == Some(key) => {
                latest = match &record.value {
                    Some(value) => Some(decode(codec, value).await?),
                    None => None,
                };
            }
            Some(TableEvent::Record(_)) => {}
            Some(TableEvent::Shrunk) => latest = None,
            Some(TableEvent::EndOfPartition) => break,
            None => return Err(ReplayError::Kafka("the reader of the directory's topic ended".to_owned())),
        }
    }
    let entry = latest.ok_or_else(|| {
        ReplayError::refused(field, format!("{key} is not known; what was just made is within a second"))
    })?;
    match entry.body {
        ConfigBody::Subscription(subscription) => Ok(Subject {
            tenant: subscription.tenant,
            endpoint: subscription.endpoint,
            subscription: Some(subscription.id),
            version: entry.version,
        }),
        ConfigBody::Endpoint(endpoint) => {
            Ok(Subject { tenant: endpoint.tenant, endpoint: endpoint.id, subscription: None, version: entry.version })
        }
        ConfigBody::Deleted(_) | ConfigBody::Tenant(_) | ConfigBody::EventType(_) => {
            Err(ReplayError::refused(field, format!("{key} was deleted")))
        }
    }
}

async fn decode(codec: &Codec, value: &[u8]) -> Result<ConfigEntry, ReplayError> {
    loop {
        match codec.decode(value) {
            Ok(entry) => return Ok(entry),
            Err(DecodeError::UnknownSchema(fingerprint)) => codec.learned(fingerprint).await,
            Err(error @ DecodeError::Corrupt(_)) => return Err(ReplayError::Kafka(error.to_string())),
        }
    }
}
