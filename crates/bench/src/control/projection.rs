//! How fast the projector writes the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use postrider_domain::delivery::Header;
use postrider_domain::delivery_event::{AfterAttempt, Attempted, Phases};
use postrider_domain::{
    Attempt, DeliveryEvent, DeliveryEventBody, DeliveryKind, EndpointId, EventId, MessageId, Run, SourceCoordinates,
    SubscriptionId, TenantId, Timestamp,
};
use postrider_kafka::{BrokerClock, Codec, Headers, KafkaConfig, Outgoing, Producer};
use tokio::time::Instant;

use super::plane::{PARTITIONS, PREFIX, Plane};
use super::target::Target;

/// Endpoints that the attempts are made to.
const ENDPOINTS: usize = 1_000;
const IN_FLIGHT: usize = 5_000;
const PATIENCE: Duration = Duration::from_mins(10);
/// Attempts a second.
const LIMIT: f64 = 10_000.0;

/// Writes so many attempts into the topic while no projector runs, then has one work them off; measures from its first
/// transaction to its last.
pub async fn measure(plane: &mut Plane, count: usize) -> anyhow::Result<Vec<Target>> {
    plane.stop_process().await?;
    write(plane, count).await?;
    let written = format!(
        "SELECT coalesce(sum(next_offset), 0)::bigint::text FROM projector_offsets WHERE topic = '{PREFIX}.delivery-events'"
    );
    let before = plane.number(&written).await?;
    plane.serve("api,projector").await?;
    let (mut first, deadline) = (None, Instant::now() + PATIENCE);
    let end = i64::try_from(count)?;
    let rate = loop {
        let done = plane.number(&written).await?;
        if first.is_none() && done > before {
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
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("  {rate:.0} attempts/s");
    check_counts(plane, end).await?;
    Ok(vec![Target::at_least("projector-attempts-per-s", rate, LIMIT)])
}

/// Whether every attempt was counted, once.
async fn check_counts(plane: &Plane, expected: i64) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while plane.number("SELECT count(*)::text FROM rollup_deltas").await? > 0 {
        ensure!(Instant::now() < deadline, "counts are not added up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let counted = plane
        .number("SELECT coalesce(sum(attempts), 0)::bigint::text FROM rollups WHERE grain = 'day' AND event_type = 'bench.projected'
                 AND endpoint_id = '' AND tenant_id <> ''")
        .await?;
    ensure!(counted == expected, "{counted} of {expected} attempts were counted");
    Ok(())
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
    let owned = format!(
        "SELECT id FROM bench_endpoints WHERE tenant_id = '{}' ORDER BY number LIMIT {ENDPOINTS}",
        plane.largest.0
    );
    let endpoints: Vec<EndpointId> = plane.sql(&owned).await?.into_iter().map(EndpointId::from_trusted).collect();
    let now: i64 = plane.number("SELECT (extract(epoch FROM now()) * 1000)::bigint::text").await?;
    let (codec, topic) = (Codec::new(), Arc::<str>::from(format!("{PREFIX}.delivery-events")));
    let tenant = TenantId::from_trusted(plane.largest.0.clone());
    let records = (0..count).map(|number| {
        let event = attempt(number, &tenant, &endpoints[number % endpoints.len()], Timestamp::from_millis(now));
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

/// An attempt that delivered.
fn attempt(number: usize, tenant: &TenantId, endpoint: &EndpointId, now: Timestamp) -> DeliveryEvent {
    let offset = i64::try_from(number).expect("few attempts");
    DeliveryEvent {
        message_id: MessageId::from_trusted(format!("msg_{number:026}")),
        run: Run::LIVE,
        kind: DeliveryKind::Live,
        attempt: Attempt::FIRST,
        version: None,
        held: None,
        stored: None,
        event_id: EventId::from_trusted(format!("bench/0/{number}")),
        event_type: "bench.projected".to_owned(),
        tenant: tenant.clone(),
        endpoint: endpoint.clone(),
        subscription: SubscriptionId::from_trusted("sub_01jd2x9vq3m7k8n5p4r6s0t1w2"),
        source: SourceCoordinates { topic: "bench".into(), partition: 0, offset },
        matched_at: now,
        at: now,
        body: DeliveryEventBody::Attempted(Attempted {
            started_at: now,
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
