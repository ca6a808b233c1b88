//! The jobs, as they stand in Kafka.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use postrider_domain::{
    JobId, Timestamp,
    replay::{Backfill, DesiredState, MAX_RATE_PER_SECOND, ReplayJob, ReplayProgress, ReplaySource, ReplayState},
};
use postrider_kafka::{
    CursorEvent, FetchSize, Headers, KafkaConfig, Layout, Outgoing, PartitionReader, Producer, Record, StartAt, Topics,
    partition_count,
};
use rand::Rng;

use super::{
    ReplayError,
    follow::{Following, progress_of},
    freeze,
    new::{BackfillOf, NewReplay, Source, What},
    subject,
};

/// A job and how far it has come.
#[derive(Debug, Clone)]
pub struct Replay {
    /// What is desired.
    pub job: ReplayJob,
    /// What was told last; none if nobody has begun.
    pub progress: Option<ReplayProgress>,
}

/// Makes, finds and directs replay jobs.
#[derive(Debug, Clone)]
pub struct Replays {
    kafka: KafkaConfig,
    topics: Topics,
    layout: Layout,
    producer: Producer,
}

impl Replays {
    /// Those of one deployment.
    pub fn new(kafka: KafkaConfig, topics: Topics, layout: Layout, producer: Producer) -> Self {
        Self { kafka, topics, layout, producer }
    }

    /// Broker time.
    pub fn now(&self) -> Timestamp {
        self.producer.clock().now()
    }

    /// Makes a job: decides where it reads, from here to where the topics end now, and writes it. Answers it with
    /// what will be told of it.
    pub async fn create(&self, new: NewReplay, rng: &mut impl Rng) -> Result<(ReplayJob, Following), ReplayError> {
        if !(1..=MAX_RATE_PER_SECOND).contains(&new.rate_per_second) {
            let message = format!("{} is out of range: use 1 to {MAX_RATE_PER_SECOND}", new.rate_per_second);
            return Err(ReplayError::refused("rate", message));
        }
        let now = self.now();
        let (source, tenant) = match new.what {
            What::DeadLetters(mut query) => {
                query.ranges = self.own_ranges(&self.topics.dlq(), query.since, query.until).await?;
                (ReplaySource::DeadLetters(query), new.tenant)
            }
            What::Rejected(mut query) => {
                query.ranges = self.own_ranges(&self.topics.rejected(), query.since, query.until).await?;
                (ReplaySource::Rejected(query), new.tenant)
            }
            What::Backfill { source, of, since, until } => {
                let subject = subject::find(&self.kafka, &self.topics, self.layout.codec(), &of).await?;
                if new.tenant.as_ref().is_some_and(|tenant| *tenant != subject.tenant) {
                    return Err(ReplayError::refused("tenant", "the endpoint is another tenant's"));
                }
                let tenant = subject.tenant.clone();
                let backfill = self.backfill(source, &of, subject, since, until, now).await?;
                (ReplaySource::Backfill(backfill), Some(tenant))
            }
        };
        let job = ReplayJob {
            id: JobId::generate(now, rng),
            tenant,
            source,
            dry_run: new.dry_run,
            rate_per_second: new.rate_per_second,
            desired: DesiredState::Running,
            created_by: new.created_by,
            created_at: now,
        };
        let following = self.follow(&job.id).await?;
        self.write(&job).await?;
        Ok((job, following))
    }

    async fn own_ranges(
        &self,
        topic: &str,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<postrider_domain::replay::OffsetRanges, ReplayError> {
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            return Err(ReplayError::refused("until", "it is not after 'since'"));
        }
        freeze::own_topic(&self.kafka, topic, self.layout.partitions(topic), since, until).await
    }

    async fn backfill(
        &self,
        source: Source,
        of: &BackfillOf,
        subject: subject::Subject,
        since: Timestamp,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Backfill, ReplayError> {
        if since >= now {
            return Err(ReplayError::refused("since", "it is not in the past"));
        }
        if until.is_some_and(|until| until <= since) {
            return Err(ReplayError::refused("until", "it is not after 'since'"));
        }
        let partitions = partition_count(&self.kafka, &source.topic).await?.ok_or_else(|| {
            ReplayError::refused("source", format!("there is no topic '{}' of source '{}'", source.topic, source.name))
        })?;
        let open_end = matches!(of, BackfillOf::Subscription(_));
        let ranges = freeze::source_topic(&self.kafka, &source.topic, partitions, since, until, open_end).await?;
        Ok(Backfill {
            source: source.name,
            endpoint: subject.endpoint,
            subscription: subject.subscription,
            version: subject.version,
            since,
            until,
            ranges,
        })
    }

    /// Says what is desired of a job. Answers the job with what is told of it from here on.
    pub async fn desire(&self, id: &JobId, desired: DesiredState) -> Result<(ReplayJob, Following), ReplayError> {
        let Replay { job, progress } = self.find(id).await?;
        let ended = progress.as_ref().map(|progress| progress.state).filter(|state| state.is_final());
        match ended {
            Some(ReplayState::Cancelled) if desired == DesiredState::Cancelled => {}
            Some(state) => return Err(ReplayError::Ended { id: id.clone(), state }),
            None => {}
        }
        let mut following = self.follow(id).await?;
        following.known.extend(progress);
        let job = ReplayJob { desired, ..job };
        self.write(&job).await?;
        Ok((job, following))
    }

    /// One job.
    pub async fn find(&self, id: &JobId) -> Result<Replay, ReplayError> {
        let partition = self.layout.partition(&self.topics.jobs(), id.as_str());
        let mut job = None;
        self.each(&self.topics.jobs(), partition, |record| {
            if record.key_str() == Some(id.as_str()) {
                job = self.job_of(&record);
            }
        })
        .await?;
        let job = job.ok_or_else(|| ReplayError::NotFound(id.clone()))?;
        let partition = self.layout.partition(&self.topics.progress(), id.as_str());
        let mut progress = None;
        self.each(&self.topics.progress(), partition, |record| {
            if record.key_str() == Some(id.as_str()) {
                progress = progress_of(self.layout.codec(), &record);
            }
        })
        .await?;
        Ok(Replay { job, progress })
    }

    /// Every job that is remembered, the oldest first.
    pub async fn list(&self) -> Result<Vec<Replay>, ReplayError> {
        let mut replays = BTreeMap::new();
        for partition in 0..self.layout.partitions(&self.topics.jobs()) {
            self.each(&self.topics.jobs(), partition, |record| match self.job_of(&record) {
                Some(job) => {
                    replays.insert(job.id.clone(), Replay { job, progress: None });
                }
                None => {
                    record.key_str().and_then(|key| replays.remove(key));
                }
            })
            .await?;
        }
        for partition in 0..self.layout.partitions(&self.topics.progress()) {
            self.each(&self.topics.progress(), partition, |record| {
                if let Some(progress) = progress_of(self.layout.codec(), &record)
                    && let Some(replay) = replays.get_mut(&progress.job)
                {
                    replay.progress = Some(progress);
                }
            })
            .await?;
        }
        Ok(replays.into_values().collect())
    }

    /// What is told of a job from now on.
    async fn follow(&self, id: &JobId) -> Result<Following, ReplayError> {
        let progress = self.topics.progress();
        let reader = self.reader(&progress)?;
        let partition = self.layout.partition(&progress, id.as_str());
        let cursor = reader.open(partition, StartAt::End);
        let (_, end) = cursor.watermarks().await.map_err(ReplayError::Kafka)?;
        cursor.seek(end);
        Ok(Following { job: id.clone(), cursor, codec: self.layout.codec().clone(), known: VecDeque::new() })
    }

    async fn each(&self, topic: &str, partition: i32, mut take: impl FnMut(Record)) -> Result<(), ReplayError> {
        let mut cursor = self.reader(topic)?.open(partition, StartAt::Beginning);
        loop {
            match cursor.next().await {
                Some(CursorEvent::Record(record)) => take(record),
                Some(CursorEvent::EndOfPartition { .. }) => return Ok(()),
                Some(CursorEvent::OutOfRange { .. }) => {}
                None => return Err(ReplayError::Kafka(format!("the reader of {topic} ended"))),
            }
        }
    }

    fn reader(&self, topic: &str) -> Result<PartitionReader, ReplayError> {
        PartitionReader::start_committed(&self.kafka, topic, FetchSize::Small).map_err(ReplayError::Kafka)
    }

    fn job_of(&self, record: &Record) -> Option<ReplayJob> {
        self.layout.codec().decode(record.value.as_ref()?).ok()
    }

    async fn write(&self, job: &ReplayJob) -> Result<(), ReplayError> {
        let jobs = self.topics.jobs();
        let record = Outgoing {
            partition: Some(self.layout.partition(&jobs, job.id.as_str())),
            topic: jobs.into(),
            key: Bytes::copy_from_slice(job.id.as_str().as_bytes()),
            value: Some(self.layout.codec().encode(job)),
            headers: Headers::new(),
        };
        self.producer.send(&record).await?;
        Ok(())
    }
}
