//! Retrier: holds a delivery until its tier's delay is over, then hands it on.
//!
//! ```text
//! Reads:        postrider.retry.<tier>   (key: endpoint id)
//! Writes:       postrider.deliveries, postrider.retry.<another tier>; postrider.rejected; for what is too
//!               large there, postrider.dlq and postrider.delivery-events
//! Commits when: the forwarded record is acknowledged
//! On failure:   what can't be written is not settled; a record without readable routing is rejected
//! ```
//!
//! All records of a tier wait equally long, so the head of a partition is always the next one due.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use postrider_domain::{
    Delivery, Routing, Timestamp,
    tier::{Hop, Tier, Tiers},
};
use postrider_kafka::{
    BrokerClock, DecodeError, FetchSize, Inbound, KafkaConfig, Layout, Outgoing, PartitionStream, ProduceError,
    QueueLimits, Readiness, Record, RejectReason, SettleToken, Shutdown, Sink, StageConfig, StageConsumer, Topics,
    reject, routing_from_headers,
};

use crate::{
    burial::Burial,
    stage::{self, StageError},
};

/// Records of one partition that may be forwarded and not acknowledged.
const MAX_RECORDS_IN_FLIGHT: usize = 256;
/// What is read ahead per partition: little, since there are many partitions and what they hold waits for long; but
/// several times what one fetch brings, since a pause throws away what was fetched and not yet handed over.
const QUEUE: QueueLimits = QueueLimits { records: 1_024, bytes: 512 * 1024 };
/// How often a wait looks at the clock again, which may have learned better.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What the retrier works with.
#[derive(Debug)]
pub struct RetrierDeps<S> {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// The topics' names.
    pub topics: Topics,
    /// Partition counts.
    pub layout: Layout,
    /// The tiers to serve.
    pub tiers: Tiers,
    /// Where it writes.
    pub sink: S,
    /// Where it says whether it can work.
    pub readiness: Readiness,
}

/// Serves the retry tiers until it is told to stop.
#[derive(Debug)]
pub struct Retrier<S> {
    deps: RetrierDeps<S>,
}

impl<S: Sink> Retrier<S> {
    /// A retrier that has not begun.
    pub fn new(deps: RetrierDeps<S>) -> Self {
        Self { deps }
    }

    /// Joins each tier's group, and works until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StageError> {
        let deps = self.deps;
        let readiness = deps.readiness.register("retrier");
        let layout = deps.layout.clone();
        let forwarder = Arc::new(Forwarder::new(&deps.topics, deps.layout, deps.tiers.clone(), deps.sink));
        let mut tiers = Vec::new();
        for tier in deps.tiers.iter() {
            let stage = tier_stage(&deps.topics, tier);
            let consumer = StageConsumer::start(&deps.kafka, stage, shutdown.clone()).map_err(StageError::Start)?;
            tiers.push((consumer, tier.delay()));
        }
        readiness.ready();
        stage::run_all(tiers.into_iter().map(|(consumer, delay)| {
            let forwarder = forwarder.clone();
            stage::for_each_partition(consumer, layout.clone(), move |stream| serve(forwarder.clone(), delay, stream))
        }))
        .await
    }
}

/// How a tier is read.
pub fn tier_stage(topics: &Topics, tier: &Tier) -> StageConfig {
    let group = topics.group(&format!("retrier.{}", tier.name()));
    StageConfig { queue: QUEUE, fetch: FetchSize::Least, ..StageConfig::new(group, vec![topics.retry(tier)]) }
}

/// Hands on what a tier's partition has, each record `delay` after it was appended.
async fn serve<S: Sink>(
    forwarder: Arc<Forwarder<S>>,
    delay: Duration,
    mut stream: PartitionStream,
) -> Result<(), StageError> {
    let clock = forwarder.sink.clock();
    let (stopped, aborted) = (stream.stopped(), stream.aborted());
    let mut in_flight = FuturesUnordered::new();
    let mut head: Option<Inbound> = None;
    let mut reading = true;
    while reading || !in_flight.is_empty() {
        let due = head.as_ref().map_or(Timestamp::EPOCH, |head| head.record.timestamp + delay);
        let may_begin = reading && in_flight.len() < MAX_RECORDS_IN_FLIGHT;
        tokio::select! {
            biased;
            () = aborted.cancelled() => return Ok(()),
            () = stopped.cancelled(), if reading => {
                // What waits is not begun: whoever comes next reads it again.
                head = None;
                reading = false;
                // Lets go of what was read ahead.
                while stream.next().await.is_some() {}
            }
            Some(done) = in_flight.next() => {
                let done: Result<SettleToken, ProduceError> = done;
                done?.settle();
            }
            () = wait_until(&clock, due), if may_begin && head.is_some() => {
                in_flight.extend(head.take().map(|inbound| forwarder.clone().forward(inbound)));
            }
            inbound = stream.next(), if may_begin && head.is_none() => match inbound {
                Some(inbound) => head = Some(inbound),
                None => reading = false,
            },
        }
    }
    Ok(())
}

/// Waits for a time by the brokers' clock. Cancel-safe.
async fn wait_until(clock: &BrokerClock, due: Timestamp) {
    loop {
        let left = due.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(RECHECK_INTERVAL)).await;
    }
}

/// Writes records to where they go next.
#[derive(Debug)]
struct Forwarder<S> {
    layout: Layout,
    tiers: Tiers,
    sink: S,
    burial: Burial<S>,
    deliveries: Arc<str>,
    retry: HashMap<Tier, Arc<str>>,
    rejected: Arc<str>,
}

impl<S: Sink> Forwarder<S> {
    fn new(topics: &Topics, layout: Layout, tiers: Tiers, sink: S) -> Self {
        Self {
            burial: Burial::new(sink.clone(), layout.clone(), topics),
            layout,
            sink,
            deliveries: topics.deliveries().into(),
            retry: tiers.iter().map(|tier| (tier.clone(), topics.retry(tier).into())).collect(),
            rejected: topics.rejected().into(),
            tiers,
        }
    }

    /// Forwards a record that its tier is done with, byte for byte. Answers its token, to be settled.
    async fn forward(self: Arc<Self>, inbound: Inbound) -> Result<SettleToken, ProduceError> {
        let Inbound { record, token } = inbound;
        let (outgoing, routing) = match self.next_record(&record) {
            Ok(next) => next,
            Err(message) => {
                self.reject(&record, &message).await?;
                return Ok(token);
            }
        };
        match self.sink.send(outgoing).await {
            Ok(_) => metrics::counter!("postrider_retrier_forwarded_total").increment(1),
            Err(ProduceError::TooLarge { reason, .. }) => self.bury(&record, &routing, reason).await?,
            Err(error) => return Err(error),
        }
        Ok(token)
    }

    /// Ends a delivery that is too large for where it goes next, so that it does not seem to wait for ever.
    async fn bury(&self, record: &Record, routing: &Routing, reason: String) -> Result<(), ProduceError> {
        let value = record.value.as_deref().unwrap_or_default();
        loop {
            match self.layout.codec().decode::<Delivery>(value) {
                Ok(delivery) => return self.burial.too_large(delivery, routing, reason).await,
                Err(DecodeError::UnknownSchema(fingerprint)) => self.layout.codec().learned(fingerprint).await,
                Err(error) => return self.reject(record, &error.to_string()).await,
            }
        }
    }

    async fn reject(&self, record: &Record, message: &str) -> Result<(), ProduceError> {
        reject(&self.sink, &self.rejected, record, RejectReason::Corrupt, message).await
    }

    /// The record as it goes on, and its routing. Error: why it can't.
    fn next_record(&self, record: &Record) -> Result<(Outgoing, Routing), String> {
        let routing = routing_from_headers(&record.headers).map_err(|error| error.to_string())?;
        let endpoint = record.key_str().ok_or("its key is not an endpoint id")?;
        let value = record.value.clone().ok_or("it has no value")?;
        let now = self.sink.clock().now();
        let hop = routing.not_before.map_or(Hop::Deliver, |due| self.tiers.next_hop(due, now));
        let topic = match hop {
            Hop::Deliver => &self.deliveries,
            Hop::Tier(tier) => &self.retry[tier],
        };
        let outgoing = Outgoing {
            topic: topic.clone(),
            partition: Some(self.layout.partition(topic, endpoint)),
            key: endpoint.to_owned().into(),
            value: Some(value),
            headers: record.headers.clone(),
        };
        Ok((outgoing, routing))
    }
}

#[cfg(test)]
mod tests;
