//! Creating topics, and checking that existing ones have the settings that the promises need.

use std::{collections::HashMap, fmt, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    metadata::MetadataBroker,
};
use tokio::time::Instant;

use crate::{KafkaConfig, TopicSpec, client_log::LogContext, config::MAX_MESSAGE_BYTES, topics::Cleanup};

const TIMEOUT: Duration = Duration::from_secs(15);
const VISIBLE_POLL: Duration = Duration::from_millis(50);

/// How topics are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSettings {
    /// Partitions of each topic that has more than one.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i32,
    /// Copies that must have a record before it is acknowledged.
    pub min_insync_replicas: i32,
}

/// A setting of an existing topic that would break a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The topic.
    pub topic: String,
    /// The setting.
    pub setting: String,
    /// What it is.
    pub actual: String,
    /// What it must be.
    pub expected: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic '{}': {} is {}, but must be {}", self.topic, self.setting, self.actual, self.expected)
    }
}

/// Why topics could not be made or checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// A topic could not be made.
    #[error("topic '{topic}' can't be created: {reason}")]
    Create {
        /// The topic.
        topic: String,
        /// The broker's words.
        reason: String,
    },
    /// A topic could not be deleted.
    #[error("topic '{topic}' can't be deleted: {reason}")]
    Delete {
        /// The topic.
        topic: String,
        /// The broker's words.
        reason: String,
    },
    /// The brokers did not answer.
    #[error("Kafka did not answer while topics were {doing}: {reason}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// The client's words.
        reason: String,
    },
}

fn unavailable(doing: &'static str) -> impl Fn(rdkafka::error::KafkaError) -> AdminError {
    move |error| AdminError::Unavailable { doing, reason: error.to_string() }
}

/// Makes those of `specs` that do not exist; existing ones are left as they are. Answers what was made.
pub async fn create_topics(
    kafka: &KafkaConfig,
    specs: &[TopicSpec],
    settings: TopicSettings,
) -> Result<Vec<String>, AdminError> {
    let existing = partition_counts(kafka).await?;
    let missing: Vec<&TopicSpec> = specs.iter().filter(|spec| !existing.contains_key(&spec.name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let admin: AdminClient<LogContext> =
        kafka.admin().create_with_context(LogContext).map_err(unavailable("created"))?;
    let texts: Vec<Vec<(&str, String)>> = missing.iter().map(|spec| topic_config(spec, settings)).collect();
    let topics = missing.iter().zip(&texts).map(|(spec, config)| {
        let partitions = if spec.single_partition { 1 } else { settings.partitions };
        let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(settings.replication_factor));
        config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    });
    let topics: Vec<NewTopic<'_>> = topics.collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let answers = admin.create_topics(&topics, &options).await.map_err(unavailable("created"))?;
    let mut created = Vec::new();
    for answer in answers {
        match answer {
            Ok(topic) => created.push(topic),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {} // another process was faster
            Err((topic, code)) => return Err(AdminError::Create { topic, reason: code.to_string() }),
        }
    }
    wait_until_visible(kafka, &missing).await?;
    Ok(created)
}

/// Gives a topic of a user's more partitions, `count` in all. (Those of Postrider's own topics stay unused.)
pub async fn add_partitions(kafka: &KafkaConfig, topic: &str, count: usize) -> Result<(), AdminError> {
    let admin: AdminClient<LogContext> =
        kafka.admin().create_with_context(LogContext).map_err(unavailable("created"))?;
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let answers = admin.create_partitions(&[NewPartitions::new(topic, count)], &options).await;
    for answer in answers.map_err(unavailable("created"))? {
        answer.map_err(|(topic, code)| AdminError::Create { topic, reason: code.to_string() })?;
    }
    Ok(())
}

/// Deletes topics with everything in them; those that do not exist are passed over.
pub async fn delete_topics(kafka: &KafkaConfig, topics: &[String]) -> Result<(), AdminError> {
    let existing = partition_counts(kafka).await?;
    let doomed: Vec<&str> = topics.iter().map(String::as_str).filter(|topic| existing.contains_key(*topic)).collect();
    if doomed.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<LogContext> =
        kafka.admin().create_with_context(LogContext).map_err(unavailable("deleted"))?;
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    for answer in admin.delete_topics(&doomed, &options).await.map_err(unavailable("deleted"))? {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((topic, code)) => return Err(AdminError::Delete { topic, reason: code.to_string() }),
        }
    }
    Ok(())
}

/// Waits until brokers tell of topics just made: the one that is asked learns of them later than the controller.
async fn wait_until_visible(kafka: &KafkaConfig, specs: &[&TopicSpec]) -> Result<(), AdminError> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let visible = partition_counts(kafka).await?;
        let Some(hidden) = specs.iter().find(|spec| !visible.contains_key(&spec.name)) else { return Ok(()) };
        if Instant::now() > deadline {
            let reason = format!("it was created, but after {TIMEOUT:?} no broker knows it");
            return Err(AdminError::Create { topic: hidden.name.clone(), reason });
        }
        tokio::time::sleep(VISIBLE_POLL).await;
    }
}

fn topic_config(spec: &TopicSpec, settings: TopicSettings) -> Vec<(&'static str, String)> {
    let mut config = vec![
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
        ("min.insync.replicas", settings.min_insync_replicas.to_string()),
    ];
    match spec.cleanup {
        Cleanup::Compact => config.push(("cleanup.policy", "compact".to_owned())),
        Cleanup::Delete { retention_ms } => {
            config.push(("cleanup.policy", "delete".to_owned()));
            config.push(("retention.ms", retention_ms.to_string()));
        }
    }
    config
}

/// Compares existing topics with `specs`. Answers every setting that would break a promise; missing topics
/// are among them.
pub async fn check_topics(kafka: &KafkaConfig, specs: &[TopicSpec]) -> Result<Vec<SettingProblem>, AdminError> {
    let existing = partition_counts(kafka).await?;
    let (present, missing): (Vec<_>, Vec<_>) = specs.iter().partition(|spec| existing.contains_key(&spec.name));
    let mut problems: Vec<SettingProblem> = missing.iter().map(|spec| missing_topic(spec)).collect();
    for spec in present.iter().filter(|spec| spec.single_partition && existing[&spec.name] != 1) {
        let actual = existing[&spec.name].to_string();
        problems.push(problem(spec, "the number of partitions", actual, "1"));
    }
    let admin: AdminClient<LogContext> =
        kafka.admin().create_with_context(LogContext).map_err(unavailable("checked"))?;
    let resources: Vec<_> = present.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
    if resources.is_empty() {
        return Ok(problems);
    }
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let answers = admin.describe_configs(&resources, &options).await.map_err(unavailable("checked"))?;
    for (spec, answer) in present.iter().zip(answers) {
        let resource = answer.map_err(|code| AdminError::Unavailable { doing: "checked", reason: code.to_string() })?;
        let setting = |name: &str| resource.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
        problems.extend(wrong_settings(spec, setting));
    }
    Ok(problems)
}

fn missing_topic(spec: &TopicSpec) -> SettingProblem {
    problem(spec, "the topic", "missing".to_owned(), "there (run `postrider topics create`)")
}

fn problem(spec: &TopicSpec, setting: &str, actual: String, expected: &str) -> SettingProblem {
    SettingProblem { topic: spec.name.clone(), setting: setting.to_owned(), actual, expected: expected.to_owned() }
}

fn wrong_settings(spec: &TopicSpec, setting: impl Fn(&str) -> String) -> Vec<SettingProblem> {
    let mut problems = Vec::new();
    let cleanup = match spec.cleanup {
        Cleanup::Compact => "compact",
        Cleanup::Delete { .. } => "delete",
    };
    for (name, expected) in [("cleanup.policy", cleanup), ("message.timestamp.type", "LogAppendTime")] {
        let actual = setting(name);
        if actual != expected {
            problems.push(problem(spec, name, actual, expected));
        }
    }
    let max_bytes = setting("max.message.bytes");
    if max_bytes.parse().unwrap_or(0) < MAX_MESSAGE_BYTES {
        problems.push(problem(spec, "max.message.bytes", max_bytes, &format!("at least {MAX_MESSAGE_BYTES}")));
    }
    problems
}

/// How long the brokers remember the offsets of a group that has no members; none if they don't say.
pub async fn offsets_retention(kafka: &KafkaConfig) -> Result<Option<Duration>, AdminError> {
    let config = kafka.admin();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer<LogContext> = config.create_with_context(LogContext)?;
        let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
        Ok(metadata.brokers().first().map(MetadataBroker::id))
    });
    let broker = asked
        .await
        .map_err(|error| AdminError::Unavailable { doing: "listed", reason: error.to_string() })?
        .map_err(unavailable("listed"))?;
    let Some(broker) = broker else { return Ok(None) };
    let admin: AdminClient<LogContext> =
        kafka.admin().create_with_context(LogContext).map_err(unavailable("checked"))?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let answers = admin.describe_configs(&[ResourceSpecifier::Broker(broker)], &options).await;
    let answer = answers.map_err(unavailable("checked"))?.into_iter().next();
    let Some(Ok(resource)) = answer else { return Ok(None) };
    let minutes = resource.get("offsets.retention.minutes").and_then(|entry| entry.value.as_ref()?.parse().ok());
    Ok(minutes.map(Duration::from_mins))
}

/// How many partitions a topic has; none if there is no such topic.
pub async fn partition_count(kafka: &KafkaConfig, topic: &str) -> Result<Option<i32>, AdminError> {
    Ok(partition_counts(kafka).await?.get(topic).copied())
}

/// How many partitions each existing topic has.
pub(crate) async fn partition_counts(kafka: &KafkaConfig) -> Result<HashMap<String, i32>, AdminError> {
    let config = kafka.admin();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer<LogContext> = config.create_with_context(LogContext)?;
        let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
        let count = |topic: &rdkafka::metadata::MetadataTopic| {
            (topic.name().to_owned(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))
        };
        Ok(metadata.topics().iter().filter(|topic| topic.error().is_none()).map(count).collect())
    });
    let answer = asked.await;
    answer
        .map_err(|error| AdminError::Unavailable { doing: "listed", reason: error.to_string() })?
        .map_err(unavailable("listed"))
}

#[cfg(test)]
mod tests {
    use postrider_domain::tier::Tiers;

    use super::*;
    use crate::Topics;

    #[test]
    fn a_wrong_setting_is_named_with_what_it_must_be() {
        let spec = &Topics::new("p").specs(&Tiers::default())[0];
        let problems = wrong_settings(spec, |name| match name {
            "cleanup.policy" => "delete".to_owned(),
            "message.timestamp.type" => "LogAppendTime".to_owned(),
            _ => "1048588".to_owned(),
        });
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "topic 'p.layout': cleanup.policy is delete, but must be compact",
                "topic 'p.layout': max.message.bytes is 1048588, but must be at least 4194304",
            ]
        );
    }
}
