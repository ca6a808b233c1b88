//! Avro whose schema has to be fetched.

use futures::future::BoxFuture;
use parking_lot::Mutex;
use postrider_kafka::{AvroError, AvroJson, Readiness, SchemaId};

use super::*;
use crate::matcher::{Schemas, SourceFormat};

/// A registry that can be down, and knows the schemas below 100.
#[derive(Debug, Default)]
struct FakeRegistry {
    is_down: Mutex<bool>,
    asked: Mutex<usize>,
}

impl Schemas for FakeRegistry {
    fn to_json<'a>(&'a self, value: &'a [u8]) -> BoxFuture<'a, Result<AvroJson, AvroError>> {
        *self.asked.lock() += 1;
        let answer = match (*self.is_down.lock(), value.get(4).copied().unwrap_or_default()) {
            (true, _) => Err(AvroError::Unavailable("connection refused".to_owned())),
            (false, id) if id >= 100 => Err(AvroError::UnknownSchema(SchemaId::Registry(u32::from(id)))),
            (false, 99) => Err(AvroError::Corrupt("it is cut".to_owned())),
            (false, id) => Ok(AvroJson { json: Bytes::from(format!("{{\"n\":{id}}}")), name: "shop.Order".to_owned() }),
        };
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            answer
        }
        .boxed()
    }

    fn available(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }
}

struct Bench {
    sink: FakeSink,
    directory: Directory,
    registry: Arc<FakeRegistry>,
    readiness: Readiness,
    test: postrider_kafka::TestPartition,
    matching: tokio::task::JoinHandle<Result<(), StageError>>,
}

fn bench(format: SourceFormat) -> Bench {
    let (sink, registry, readiness) = (FakeSink::new(), Arc::new(FakeRegistry::default()), Readiness::new());
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let source =
        SourceConfig { format, tenant: Some(TenantId::from_trusted(TENANT)), ..SourceConfig::new("orders", "orders") };
    let decoder = Decoder::new(Arc::new(source), Some(registry.clone()), Some(&readiness));
    let (stream, test) = PartitionStream::for_test("orders", 0, 100);
    let matching = tokio::spawn(match_partition(matcher_of(&sink, &directory, decoder), stream));
    Bench { sink, directory, registry, readiness, test, matching }
}

fn avro(offset: i64, schema: u8) -> Record {
    Record { value: Some(Bytes::from(vec![0, 0, 0, 0, schema, 7])), ..record(offset, "") }
}

impl Bench {
    /// The offsets of what was delivered, in the order in which it was written.
    fn delivered(&self) -> Vec<i64> {
        let sent = self.sink.acknowledged_for("t.deliveries");
        sent.iter().map(|record| decoded::<Delivery>(record).source.offset).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn avro_is_delivered_as_json_in_the_order_of_its_offsets_beside_what_is_json() {
    let bench = bench(SourceFormat::Auto);
    for offset in 0..20 {
        let mixed = if offset % 3 == 0 { record(offset, CREATED) } else { avro(offset, 1) };
        bench.test.send(mixed).await;
    }
    a_second().await;
    assert_eq!(bench.delivered(), (0..20).collect::<Vec<i64>>());
    let delivery: Delivery = decoded(&bench.sink.acknowledged_for("t.deliveries")[1]);
    assert_eq!(delivery.event_type, "shop.Order");
    assert!(delivery.body.ends_with(br#""data":{"n":1}}"#), "{:?}", delivery.body);
    assert_eq!(bench.test.committable(), Some(20));
}

#[tokio::test(start_paused = true)]
async fn while_the_registry_is_down_the_partition_waits_and_says_so() {
    let bench = bench(SourceFormat::Auto);
    assert!(bench.readiness.is_ready());
    *bench.registry.is_down.lock() = true;
    bench.test.send(record(0, CREATED)).await;
    bench.test.send(avro(1, 1)).await;
    bench.test.send(record(2, CREATED)).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!((bench.delivered(), bench.test.committable()), (vec![0], Some(1)));
    let asked = *bench.registry.asked.lock();
    assert!((50..200).contains(&asked), "it asks now and then: {asked} times in five minutes");
    let report = bench.readiness.report();
    let [(part, Err(reason))] = &report[..] else { panic!("{report:?}") };
    assert_eq!(
        (part.as_str(), reason.as_str()),
        ("schemas of source 'orders'", "the schema registry: connection refused")
    );
    *bench.registry.is_down.lock() = false;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((bench.delivered(), bench.test.committable()), (vec![0, 1, 2], Some(3)));
    assert!(bench.readiness.is_ready(), "{:?}", bench.readiness.report());
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_schema_is_not_matched_by_a_directory_that_broke_meanwhile() {
    let bench = bench(SourceFormat::Avro);
    *bench.registry.is_down.lock() = true;
    bench.test.send(avro(0, 1)).await;
    a_second().await;
    bench.directory.shrink();
    *bench.registry.is_down.lock() = false;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!((bench.delivered(), bench.test.committable()), (vec![], Some(0)));
    bench.test.stopped.cancel();
    tokio::time::timeout(Duration::from_millis(100), bench.matching).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_waits_for_a_schema_is_given_up_at_once() {
    let bench = bench(SourceFormat::Avro);
    *bench.registry.is_down.lock() = true;
    bench.test.send(avro(0, 1)).await;
    a_second().await;
    assert!(!bench.readiness.is_ready());
    bench.test.stopped.cancel();
    tokio::time::timeout(Duration::from_millis(100), bench.matching).await.unwrap().unwrap().unwrap();
    assert_eq!((bench.test.outstanding(), bench.test.committable()), (0, Some(0)));
    assert!(bench.readiness.is_ready(), "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn what_no_schema_fits_is_rejected_and_the_partition_goes_on() {
    let bench = bench(SourceFormat::Avro);
    for (offset, schema) in [(0, 101), (1, 100), (2, 99), (3, 1)] {
        bench.test.send(avro(offset, schema)).await;
    }
    bench.test.send(record(4, CREATED)).await;
    bench.test.send(Record { value: None, ..record(5, "") }).await;
    a_second().await;
    assert_eq!((bench.delivered(), bench.test.committable()), (vec![3], Some(6)));
    let rejected = bench.sink.acknowledged_for("t.rejected");
    let said: Vec<&str> = rejected.iter().map(|record| record.headers.get_str("pr-message").unwrap()).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].contains("id 101") && said[2].contains("it is cut") && said[3].contains("not Avro"), "{said:?}");
    assert!(rejected.iter().all(|record| record.headers.get_str("pr-reason") == Some("undecodable")));
}

#[tokio::test(start_paused = true)]
async fn without_a_registry_avro_is_rejected_and_says_what_to_configure() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(avro(0, 1)).await;
    a_second().await;
    let message = sink.acknowledged_for("t.rejected")[0].headers.get_str("pr-message").unwrap().to_owned();
    assert!(message.contains("[schema_registry]"), "{message}");
    assert_eq!(test.committable(), Some(1));
}
