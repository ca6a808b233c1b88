//! Where secrets are looked for: all that a run leaves behind.

use std::time::Duration;

use futures::future::join_all;
use postrider_domain::tier::Tiers;
use postrider_kafka::{CursorEvent, FetchSize, KafkaConfig, PartitionReader, StartAt, partition_count};
use postrider_testkit::dump_database;

use crate::support::{Context, Deployment, LIMIT};

/// All that is stored of a deployment, by where it is: its database, its topics, the database server's log.
pub async fn stored(context: &Context, deployment: &Deployment, database: &str) -> Vec<(String, Vec<u8>)> {
    let kafka = context.environment.kafka().await;
    let tiers = Tiers::new([1, 2, 5].map(Duration::from_secs)).unwrap();
    let topics = deployment.topics.specs(&tiers);
    let read = join_all(topics.iter().map(|topic| read(&kafka, &topic.name))).await;
    let mut places: Vec<_> = topics.iter().map(|topic| topic.name.clone()).zip(read).collect();

    let postgres = context.environment.postgres().await;
    places.push(("the database".to_owned(), dump_database(postgres, database).await.unwrap()));
    let log = std::fs::read(postgres.folder().join("postgres.log")).unwrap();
    places.push(("the database server's log".to_owned(), log));
    places
}

/// All records of a topic: keys, headers and values.
async fn read(kafka: &KafkaConfig, topic: &str) -> Vec<u8> {
    let partitions = partition_count(kafka, topic).await.unwrap().unwrap_or_else(|| panic!("there is no {topic}"));
    let reader = PartitionReader::start_committed(kafka, topic, FetchSize::Large).unwrap();
    let mut bytes = Vec::new();
    for partition in 0..partitions {
        let mut cursor = reader.open(partition, StartAt::Beginning);
        let reading = async {
            while let Some(CursorEvent::Record(record)) = cursor.next().await {
                bytes.extend(record.key.iter().chain(&record.value).flat_map(|part| part.iter().chain(b"\n")));
                for (name, value) in record.headers.iter() {
                    bytes.extend([name.as_bytes(), b": ", value, b"\n"].concat());
                }
            }
        };
        assert!(tokio::time::timeout(LIMIT, reading).await.is_ok(), "{topic} has no end");
    }
    bytes
}
