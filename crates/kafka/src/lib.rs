//! Everything Postrider knows about Kafka and Avro: the only crate that names either client.
//!
//! A stage reads with a [`StageConsumer`], writes with a [`Producer`] and settles each record by its
//! [`SettleToken`] once its work is durable elsewhere. [`Layout`] knows partition counts and schemas.

mod admin;
mod client_log;
mod clock;
mod codec;
mod config;
mod consumer;
mod first_start;
mod groups;
mod headers;
mod lag;
mod layout;
mod lifecycle;
pub mod mock;
mod partition;
mod partition_reader;
mod pattern;
mod producer;
mod record;
mod record_fetcher;
mod records;
mod registry;
mod rejected;
mod reported;
mod table_reader;
mod topics;
mod transaction;
mod window;

pub use admin::{
    AdminError, SettingProblem, TopicSettings, add_partitions, check_topics, create_topics, delete_topics,
    offsets_retention, partition_count,
};
pub use clock::BrokerClock;
pub use codec::{AvroRecord, Codec, DecodeError, Fingerprint};
pub use config::{ConnectError, FetchSize, KafkaConfig};
pub use consumer::{
    Inbound, PartitionStream, PositionSource, Positions, QueueLimits, SettleToken, StageConfig, StageConsumer,
    TestPartition,
};
pub use first_start::{StartFrom, TopicSelection, begin_group};
pub use groups::{GroupMember, GroupPosition, dispatcher_positions, members_bound_to_generation};
pub use headers::{InvalidHeader, routing_from_headers, routing_to_headers};
pub use lag::GroupLag;
pub use layout::{
    Layout, LayoutEditor, LayoutError, NextGeneration, Resize, Standing, UnusedPartitions, codec_of, topics_in_use,
    unused_partitions,
};
pub use lifecycle::{Readiness, ReadinessHandle, Shutdown};
pub use partition::partition_for_key;
pub use partition_reader::{CursorEvent, PartitionCursor, PartitionReader, StartAt, TestCursor};
pub use pattern::{InvalidTopicPattern, TopicPattern};
pub use producer::{Ack, ProduceError, Producer, Sink};
pub use record::{Headers, Outgoing, Record};
pub use record_fetcher::RecordFetcher;
pub use records::{DlqRecord, LogRecord, ProgressRecord, StateRecord};
pub use registry::{
    AvroError, AvroJson, InvalidRegistry, RegistryConfig, SchemaId, SchemaRegistry, cloudevent_to_json,
};
pub use rejected::{RejectReason, RejectedRecord, reject, reject_of_source};
pub use table_reader::{TableEvent, TableReader};
pub use topics::{TopicSpec, Topics, held_place};
pub use transaction::{TransactionError, TransactionalProducer};
pub use window::CommitMetadata;
