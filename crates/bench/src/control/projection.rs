//! How fast the projector writes the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use postrider_domain::delivery::Header;
use postrider_domain::delivery_event::{AfterAttempt, Attempted, Phases};
use postrider_domain::message_id::{event_id_from_coordinates, message_id};
use postrider_domain::{
    Attempt, DeliveryEvent, DeliveryEventBody, DeliveryKind, EndpointId, Run, SourceCoordinates, SubscriptionId,
    TenantId, Timestamp,
};
use postrider_kafka::{BrokerClock, Codec, Headers, KafkaConfig, Outgoing, Producer};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use super::dataset::midnight;
use super::plane::{PARTITIONS, PREFIX, Plane};
use super::target::Target;

const IN_FLIGHT: usize = 5_000;
const PATIENCE: Duration = Duration::from_mins(10);
/// Attempts a second.
const LIMIT: f64 = 10_000.0;
/// Attempts are made so many times as fast as they are to be projected.
const MADE_PER_MILLISECOND: i64 = 10;
/// What tells them from the other rows of the log.
const SOURCE: &str = "projected";

/// Writes so many attempts into the topic while no projector runs, then has one work them off; measures from its first
/// transaction to its last.
pub async fn measure(plane: &mut Plane, count: usize) -> anyhow::Result<Vec<Target>> {
    plane.stop_process().await?;
    let written = format!(
        "SELECT coalesce(sum(next_offset), 0)::bigint::text FROM projector_offsets WHERE topic = '{PREFIX}.delivery-events'"
    );
    let (before, begun_at) = (Counts::read(plane).await?, plane.number(&written).await?);
    write(plane, count).await?;
    plane.serve("api,projector").await?;
    let (mut first, deadline) = (None, Instant::now() + PATIENCE);
    let end = i64::try_from(count)?;
    let rate = loop {
        let done = plane.number(&written).await? - begun_at;
        if first.is_none() && done > 0 {
            first = Some((Instant::now(), done));
        }
        if let Some((begun, at_first)) = first
            && done >= end
        {
            #[expect(clippy::cast_precision_loss, reason = "attempts are below 2^52")]
            let attempts = (end - at_first) as f64;
            break attempts / begun.elapsed().as_secs_f64();
        }
        ensure!(Instant::now() < deadline, "the projector has written {done} of {end} attempts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let written = Instant::now();
    while plane.number("SELECT count(*)::text FROM (SELECT FROM rollup_deltas LIMIT 1) AS waiting").await? > 0 {
        ensure!(written.elapsed() < PATIENCE, "counts are not added up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let counted_after = written.elapsed();
    let after = Counts::read(plane).await?;
    ensure!(after == before.plus(end), "{end} attempts came to {after:?}, from {before:?}");
    let bare = bare_rate(plane, end).await?;
    println!(
        "  {rate:.0} attempts/s, {:.2} of bare inserts ({bare:.0}/s); in the analytics {counted_after:.1?} later",
        rate / bare
    );
    Ok(vec![Target::at_least("projector-attempts-per-s", rate, LIMIT)])
}

/// How many of these attempts a second go into tables without an index, each with its delivery, all in one transaction:
/// as fast as this database on this machine can be.
async fn bare_rate(plane: &Plane, count: i64) -> anyhow::Result<f64> {
    let today = midnight(0);
    plane
        .sql("CREATE TABLE bare_deliveries (LIKE deliveries); CREATE TABLE bare_attempts (LIKE delivery_attempts)")
        .await?;
    let begun = Instant::now();
    plane
        .sql(&format!(
            "INSERT INTO bare_deliveries SELECT * FROM deliveries
             WHERE matched_at >= {today} - interval '1 day' AND source_topic = '{SOURCE}' LIMIT {count};
             INSERT INTO bare_attempts SELECT * FROM delivery_attempts
             WHERE started_at >= {today} - interval '1 day' LIMIT {count}"
        ))
        .await?;
    let took = begun.elapsed();
    let copied = plane
        .number("SELECT least((SELECT count(*) FROM bare_deliveries), (SELECT count(*) FROM bare_attempts))::text")
        .await?;
    ensure!(copied == count, "{copied} of {count} attempts were copied");
    plane.sql("DROP TABLE bare_deliveries, bare_attempts").await?;
    #[expect(clippy::cast_precision_loss, reason = "attempts are below 2^52")]
    let rate = count as f64 / took.as_secs_f64();
    Ok(rate)
}

/// How many attempts there are of today, wherever they are to be found: each is in all of these, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    deliveries: i64,
    attempts: i64,
    of_endpoints: i64,
    of_tenants: i64,
    of_all: i64,
}

impl Counts {
    async fn read(plane: &Plane) -> anyhow::Result<Self> {
        let today = midnight(0);
        let counted = async |whose: &str| {
            plane
                .number(&format!(
                    "SELECT coalesce(sum(attempts), 0)::bigint::text FROM rollups
                     WHERE grain = 'day' AND bucket >= {today} - interval '1 day' AND {whose}"
                ))
                .await
        };
        Ok(Self {
            deliveries: plane
                .number(&format!(
                    "SELECT count(*)::text FROM deliveries
                     WHERE matched_at >= {today} - interval '1 day' AND source_topic = '{SOURCE}'"
                ))
                .await?,
            attempts: plane
                .number(&format!(
                    "SELECT count(*)::text FROM delivery_attempts WHERE started_at >= {today} - interval '1 day'"
                ))
                .await?,
            of_endpoints: counted("endpoint_id <> ''").await?,
            of_tenants: counted("tenant_id <> '' AND endpoint_id = '' AND event_type = ''").await?,
            of_all: counted("tenant_id = '' AND event_type = ''").await?,
        })
    }

    fn plus(self, more: i64) -> Self {
        let Self { deliveries, attempts, of_endpoints, of_tenants, of_all } = self;
        Self {
            deliveries: deliveries + more,
            attempts: attempts + more,
            of_endpoints: of_endpoints + more,
            of_tenants: of_tenants + more,
            of_all: of_all + more,
        }
    }
}

/// An endpoint that attempts are made to.
struct Receiver {
    tenant: TenantId,
    endpoint: EndpointId,
    subscription: SubscriptionId,
    event_type: String,
}

impl Receiver {
    /// All that there are, the busiest first.
    async fn all(plane: &Plane) -> anyhow::Result<Vec<Self>> {
        let rows = plane
            .sql("SELECT concat_ws(' ', tenant_id, id, subscription_id, event_type) FROM bench_endpoints ORDER BY number")
            .await?;
        let receiver = |row: &String| {
            let mut words = row.split(' ').map(str::to_owned);
            let mut word = || words.next().context("four words");
            anyhow::Ok(Self {
                tenant: TenantId::from_trusted(word()?),
                endpoint: EndpointId::from_trusted(word()?),
                subscription: SubscriptionId::from_trusted(word()?),
                event_type: word()?,
            })
        };
        rows.iter().map(receiver).collect()
    }
}

async fn write(plane: &Plane, count: usize) -> anyhow::Result<()> {
    let kafka = KafkaConfig {
        bootstrap_servers: plane.brokers(),
        properties: BTreeMap::from([("linger.ms".to_owned(), "20".to_owned())]),
        client_id: "bench".to_owned(),
        instance_id: None,
        embedded: false,
    };
    let producer =
        Producer::new(&kafka, BrokerClock::new(true)).map_err(|why| anyhow!("make a Kafka producer: {why}"))?;
    let receivers = Receiver::all(plane).await?;
    let now: i64 = plane.number("SELECT (extract(epoch FROM now()) * 1000)::bigint::text").await?;
    let (codec, topic) = (Codec::new(), Arc::<str>::from(format!("{PREFIX}.delivery-events")));
    let mut rng = StdRng::seed_from_u64(7);
    let records = (0..count).map(|number| {
        let event = attempt(number, &receivers[owner(rng.random(), receivers.len())], now);
        Outgoing {
            topic: topic.clone(),
            partition: Some(i32::try_from(number % PARTITIONS as usize).expect("few partitions")),
            key: Bytes::from(event.message_id.to_string()),
            value: Some(codec.encode(&event)),
            headers: Headers::new(),
        }
    });
    let sends = stream::iter(records).map(async |record| producer.send(&record).await);
    sends.buffer_unordered(IN_FLIGHT).try_for_each(async |_| Ok(())).await.context("write an attempt")
}

/// Whose an attempt is, by the law by which the set's rows are: few have most.
fn owner(random: f64, endpoints: usize) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is at least 0 and below the number of endpoints"
    )]
    let owner = (endpoints as f64 * random.powi(3)) as usize;
    owner.min(endpoints - 1)
}

/// An attempt that delivered. They end a little before `now`, one after the other.
fn attempt(number: usize, receiver: &Receiver, now: i64) -> DeliveryEvent {
    let offset = i64::try_from(number).expect("few attempts");
    let at = Timestamp::from_millis(now - 60_000 + offset / MADE_PER_MILLISECOND);
    let source = SourceCoordinates { topic: SOURCE.into(), partition: 0, offset };
    let event_id = event_id_from_coordinates(SOURCE, &source, at);
    DeliveryEvent {
        message_id: message_id(&event_id, &receiver.endpoint),
        run: Run::LIVE,
        kind: DeliveryKind::Live,
        attempt: Attempt::FIRST,
        version: None,
        held: None,
        stored: Some(SourceCoordinates { topic: format!("{PREFIX}.deliveries").into(), partition: 0, offset }),
        event_id,
        event_type: receiver.event_type.clone(),
        tenant: receiver.tenant.clone(),
        endpoint: receiver.endpoint.clone(),
        subscription: receiver.subscription.clone(),
        source,
        matched_at: at,
        at,
        body: DeliveryEventBody::Attempted(Attempted {
            started_at: at,
            duration_us: 20_000 + offset % 30_000,
            status: Some(200),
            error: None,
            error_message: None,
            response_excerpt: Some("ok".to_owned()),
            next: AfterAttempt::Delivered,
            next_attempt_at: None,
            request_headers: headers(&[
                ("content-type", "application/json"),
                ("webhook-id", "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z"),
                ("webhook-timestamp", "1769860800"),
                ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
                ("webhook-attempt", "1"),
            ]),
            response_headers: headers(&[
                ("content-type", "text/plain"),
                ("content-length", "2"),
                ("date", "Sat, 31 Jan 2026 12:00:00 GMT"),
            ]),
            phases: Some(Phases { wait_us: Some(19_000), ..Phases::default() }),
        }),
    }
}

fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
    pairs.iter().map(|(name, value)| Header { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
}
