//! What the brokers know of consumer groups: their members, and what they have settled.

use std::{fmt, time::Duration};

use postrider_domain::Runs;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    groups::GroupInfo,
};

use crate::{FetchSize, KafkaConfig, Topics, client_log::LogContext, config::Isolation, window::CommitMetadata};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupMember {
    /// The group.
    pub group: String,
    /// The client's name, as it is configured.
    pub client: String,
    /// Where it connects from.
    pub host: String,
    /// Its id in the group.
    pub id: String,
}

impl fmt::Display for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, client, host, id } = self;
        write!(f, "'{client}' at {} is in the group '{group}' (member {id})", host.trim_start_matches('/'))
    }
}

/// What a group without members is said to be. One that nobody can tell anything about is said to be nothing.
const WITHOUT_MEMBERS: [&str; 2] = ["Empty", "Dead"];

/// The members of all groups whose work is bound to a generation of `topics`. Who was killed is one until its session
/// ends. Error: no answer, or not from all brokers, or not of all groups.
pub async fn members_bound_to_generation(kafka: &KafkaConfig, topics: &Topics) -> Result<Vec<GroupMember>, String> {
    let (config, topics) = (kafka.admin(), topics.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer<LogContext> =
            config.create_with_context(LogContext).map_err(|error| error.to_string())?;
        let list = client.fetch_group_list(None, TIMEOUT).map_err(|error| error.to_string())?;
        let groups = list.groups().iter().filter(|group| topics.is_bound_to_generation(group.name()));
        let groups: Vec<_> = groups.collect();
        let is_open = |group: &&&GroupInfo| group.members().is_empty() && !WITHOUT_MEMBERS.contains(&group.state());
        if let Some(open) = groups.iter().find(is_open) {
            return Err(format!(
                "no broker can tell them of the group '{}' (its state is '{}')",
                open.name(),
                open.state()
            ));
        }
        let mut members: Vec<GroupMember> = groups
            .iter()
            .flat_map(|group| {
                group.members().iter().map(|member| GroupMember {
                    group: group.name().to_owned(),
                    client: member.client_id().to_owned(),
                    host: member.client_host().to_owned(),
                    id: member.id().to_owned(),
                })
            })
            .collect();
        members.sort_unstable();
        Ok(members)
    });
    let answer: Result<_, String> = asked.await.map_err(|error| error.to_string())?;
    answer.map_err(|error| format!("the members of consumer groups can't be listed: {error}"))
}

/// What a group has settled of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupPosition {
    /// Everything below is settled; none: nothing yet.
    pub offset: Option<i64>,
    /// What is settled above it.
    pub done: Runs,
    /// What was committed for the companion topic's partition.
    pub companion: Option<i64>,
}

/// What the dispatchers of the generation of `topics` have settled, of each of so many partitions. Error: no answer.
pub async fn dispatcher_positions(
    kafka: &KafkaConfig,
    topics: &Topics,
    partitions: i32,
) -> Result<Vec<GroupPosition>, String> {
    let mut config = kafka.partition_reader(FetchSize::Small, Isolation::Committed);
    config.set("group.id", topics.dispatcher_group());
    let (deliveries, held) = (topics.deliveries(), topics.held());
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer<LogContext> = config.create_with_context(LogContext)?;
        let mut list = TopicPartitionList::new();
        for topic in [&deliveries, &held] {
            list.add_partition_range(topic, 0, partitions - 1);
        }
        let committed = client.committed_offsets(list, TIMEOUT)?;
        let mut positions = Vec::new();
        for partition in 0..partitions {
            let offset_in = |topic: &str| {
                let element = committed.find_partition(topic, partition);
                let Some(element) = element else { return Ok((None, String::new())) };
                element.error()?;
                Ok::<_, KafkaError>(match element.offset() {
                    Offset::Offset(offset) => (Some(offset), element.metadata().to_owned()),
                    _ => (None, String::new()),
                })
            };
            let (offset, metadata) = offset_in(&deliveries)?;
            // What can't be read is repeated, as after a restart.
            let parsed = offset.and_then(|offset| CommitMetadata::parse(&metadata, offset).ok());
            let done = parsed.map(|(_, done)| done).unwrap_or_default();
            positions.push(GroupPosition { offset, done, companion: offset_in(&held)?.0 });
        }
        Ok(positions)
    });
    let answer: Result<_, KafkaError> = asked.await.map_err(|error| error.to_string())?;
    answer.map_err(|error| format!("what the dispatchers have settled can't be looked up: {error}"))
}
