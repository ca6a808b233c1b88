//! One job at work, from where it was left to its end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::Either;
use postrider_domain::replay::{Count, OffsetRange, ReplayJob, ReplayProgress, ReplaySource, ReplayState, Tally};
use postrider_kafka::{CursorEvent, PartitionCursor, ProduceError, Record, Sink, StartAt};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval, timeout},
};

use super::{
    finding::{Finding, Wanted},
    gate::{Gate, MAX_LAG_RECORDS},
    in_flight::{InFlight, Passed},
    logs::{LogReader as _, Logs},
    originals::Originals,
    reading::Reading,
    shared::Shared,
};

/// How often a job at work writes how far it has come: what it repeats at most after it was killed.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(200);
/// Checkpoints between two looks at how far the dispatchers are behind.
const CHECKPOINTS_PER_LOOK: u32 = 5;
/// How long such a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long acknowledgements are waited for once the job is told to stop.
const DRAIN: Duration = Duration::from_millis(500);
/// How long its last word may take once its partition is somebody else's.
const LAST_WORD: Duration = Duration::from_millis(300);

/// What a job at work is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    GoOn,
    Pause,
    Cancel,
    /// The partition goes elsewhere, or the process stops.
    LetGo,
}

/// Why a job stops before everything is read.
#[derive(Debug)]
pub(super) enum Halt {
    /// It was told to.
    Told,
    /// It can't go on.
    Failed(String),
    /// Nothing can be written any more.
    Produce(ProduceError),
}

impl From<String> for Halt {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<ProduceError> for Halt {
    fn from(error: ProduceError) -> Self {
        Self::Produce(error)
    }
}

/// A job at work.
pub(super) struct Run<S, L: Logs> {
    pub(super) shared: Arc<Shared<S, L>>,
    pub(super) job: ReplayJob,
    pub(super) tally: Tally,
    pub(super) originals: Originals<L>,
    order: watch::Receiver<Order>,
    gate: Gate,
    ticks: Interval,
    ticked: u32,
}

impl<S: Sink, L: Logs> Run<S, L> {
    pub(super) fn new(
        shared: Arc<Shared<S, L>>,
        job: ReplayJob,
        earlier: Option<ReplayProgress>,
        order: watch::Receiver<Order>,
    ) -> Self {
        let mut ticks = interval(CHECKPOINT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tally = Tally::new(job.id.clone(), earlier, shared.now());
        tally.say(None);
        Self { gate: Gate::new(&job), tally, originals: Originals::default(), shared, job, order, ticks, ticked: 0 }
    }

    /// Works until everything is read or the job is told otherwise. Answers its last progress, which is written.
    /// Error: nothing can be written any more.
    pub(super) async fn run(mut self) -> Result<ReplayProgress, ProduceError> {
        let state = match self.work().await {
            Ok(()) => ReplayState::Done,
            Err(Halt::Told) => match *self.order.borrow() {
                Order::Pause => ReplayState::Paused,
                Order::Cancel => ReplayState::Cancelled,
                Order::GoOn | Order::LetGo => ReplayState::Running,
            },
            Err(Halt::Failed(message)) => {
                tracing::error!(job = %self.job.id, message, "a replay failed");
                self.tally.say(Some(message));
                ReplayState::Failed
            }
            Err(Halt::Produce(error)) => return Err(error),
        };
        if state == ReplayState::Done {
            self.tally.say(None);
        }
        let last = self.tally.at(state, self.shared.now());
        let shared = self.shared.clone();
        let let_go = async {
            // The sender lives as long as whoever waits for this task.
            let _ = self.order.wait_for(|order| *order == Order::LetGo).await.map(drop);
            tokio::time::sleep(LAST_WORD).await;
        };
        tokio::select! {
            told = shared.tell(&last) => told?,
            () = let_go => {}
        }
        tracing::info!(job = %last.job, state = last.state.as_str(), sent = last.sent, "a replay stopped");
        Ok(last)
    }

    async fn work(&mut self) -> Result<(), Halt> {
        let turns = self.shared.turns.clone();
        let _turn = if let Ok(turn) = turns.clone().try_acquire_owned() {
            turn
        } else {
            self.wait("other replays of this process to end", turns.acquire_owned()).await?.expect("it is never closed")
        };
        let directory = self.shared.directory.clone();
        self.wait("the directory to be read", async move { directory.wait_until_working().await }).await?;
        let ranges = self.ranges().await?;
        for (partition, range) in &ranges {
            self.tally.range(*partition, range.from, range.to);
        }
        self.checkpoint().await?;
        self.look_at_lag().await?;
        let topic = self.topic()?;
        let reader = self.shared.logs.reader(&topic)?;
        for (partition, range) in ranges {
            let next = self.tally.range(partition, range.from, range.to);
            if next < range.to {
                let reading = self.reading(&reader, partition, range).await?;
                self.read(&reader, reading, partition, next, range.to).await?;
            }
            self.tally.finish(partition);
        }
        Ok(())
    }

    /// Waits for `what`, which the progress says, unless told to stop.
    pub(super) async fn wait<T>(&mut self, what: &str, event: impl Future<Output = T> + Send) -> Result<T, Halt> {
        let mut event = std::pin::pin!(event);
        // Without a word, if it is there already.
        if let Ok(done) = self.unless_told(timeout(CHECKPOINT_INTERVAL, &mut event)).await? {
            return Ok(done);
        }
        self.tally.say(Some(format!("waits for {what}")));
        self.checkpoint().await?;
        let done = self.unless_told(event).await?;
        self.tally.say(None);
        Ok(done)
    }

    pub(super) async fn unless_told<T>(&mut self, event: impl Future<Output = T> + Send) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = told(&mut self.order) => Err(Halt::Told),
            done = event => Ok(done),
        }
    }

    /// Writes how far the job has come.
    async fn checkpoint(&mut self) -> Result<(), Halt> {
        let progress = self.tally.at(ReplayState::Running, self.shared.now());
        let shared = self.shared.clone();
        Ok(self.unless_told(shared.tell(&progress)).await??)
    }

    /// Looks how far the dispatchers are behind. Until that is known, nothing is fed.
    async fn look_at_lag(&mut self) -> Result<(), Halt> {
        if self.job.dry_run {
            return Ok(());
        }
        let shared = self.shared.clone();
        let lags = self.unless_told(timeout(LOOK_TIMEOUT, shared.logs.lags())).await?;
        match lags.unwrap_or_else(|_| Err(format!("no answer within {LOOK_TIMEOUT:?}"))) {
            Ok(lags) => self.gate.behind(Some(lags)),
            Err(reason) => {
                tracing::warn!(job = %self.job.id, reason, "how far the dispatchers are behind can't be told");
                self.gate.behind(None);
            }
        }
        Ok(())
    }

    /// Reads a partition, and hands over what is wanted.
    async fn read(
        &mut self,
        reader: &L::Reader,
        reading: Reading,
        partition: i32,
        from: i64,
        to: i64,
    ) -> Result<(), Halt> {
        let mut cursor = reader.open(partition, StartAt::Offset(from));
        let mut in_flight = InFlight::default();
        let result = self.feed(&mut cursor, reading, &mut in_flight, to).await;
        if matches!(result, Err(Halt::Told)) {
            let drained = async {
                while let Some(passed) = in_flight.next().await {
                    self.pass(partition, passed?);
                }
                Ok::<_, ProduceError>(())
            };
            timeout(DRAIN, drained).await.unwrap_or(Ok(()))?;
        }
        result
    }

    async fn feed(
        &mut self,
        cursor: &mut PartitionCursor,
        mut reading: Reading,
        in_flight: &mut InFlight,
        to: i64,
    ) -> Result<(), Halt> {
        let partition = cursor.partition();
        let mut waiting: Option<(i64, Wanted, Vec<i32>)> = None;
        let mut ended = false;
        while !ended || waiting.is_some() || !in_flight.is_empty() {
            let room = in_flight.has_room();
            let targets: &[i32] = waiting.as_ref().map_or(&[], |(_, _, targets)| targets);
            tokio::select! {
                biased;
                () = told(&mut self.order) => return Err(Halt::Told),
                Some(passed) = in_flight.next() => self.pass(partition, passed?),
                _ = self.ticks.tick() => self.tick(targets.to_vec()).await?,
                () = self.gate.turn(targets), if room && waiting.is_some() => {
                    if let Some((offset, wanted, _)) = waiting.take() {
                        in_flight.begin(offset, wanted, self.shared.clone());
                    }
                }
                event = cursor.next(), if room && waiting.is_none() && !ended => match event {
                    Some(CursorEvent::Record(record)) if record.offset < to => {
                        ended = record.offset + 1 == to;
                        match self.look(&mut reading, &record).await? {
                            Either::Left(wanted) => {
                                let targets = wanted.deliveries.iter().map(|it| self.shared.target(it.delivery())).collect();
                                waiting = Some((record.offset, wanted, targets));
                            }
                            Either::Right(count) if in_flight.is_empty() => self.pass(partition, (record.offset, count)),
                            Either::Right(count) => in_flight.follow(record.offset, count),
                        }
                    }
                    // The end of what was there when the job was made lies at or behind `to`.
                    Some(CursorEvent::Record(_) | CursorEvent::EndOfPartition { .. }) => ended = true,
                    Some(CursorEvent::OutOfRange { resumed_at }) => {
                        let job = &self.job.id;
                        tracing::warn!(%job, partition, resumed_at, "records were deleted before they were replayed");
                    }
                    None => return Err(Halt::Failed("its reader ended".to_owned())),
                },
            }
        }
        Ok(())
    }

    fn pass(&mut self, partition: i32, (offset, count): Passed) {
        self.tally.pass(partition, offset, count);
    }

    /// What is to be handed over because of a record, or what it counts as otherwise.
    async fn look(&mut self, reading: &mut Reading, record: &Record) -> Result<Either<Wanted, Count>, Halt> {
        let (shared, now) = (self.shared.clone(), self.shared.now());
        let codec = shared.layout.codec();
        let finding = self.unless_told(reading.look(codec, record, now)).await??;
        let finding = match finding {
            Finding::Unmapped(unmapped) => self.map_again(*unmapped).await?,
            other => other,
        };
        let count = finding.count();
        let wanted = match finding {
            Finding::Wanted(wanted) => wanted,
            Finding::Corrupt(reason) if !self.job.dry_run => {
                self.unless_told(shared.reject(record, &reason)).await??;
                return Ok(Either::Right(count));
            }
            _ => return Ok(Either::Right(count)),
        };
        self.tally.show(|| wanted.sample.to_string());
        Ok(if self.job.dry_run { Either::Right(count) } else { Either::Left(wanted) })
    }

    async fn tick(&mut self, targets: Vec<i32>) -> Result<(), Halt> {
        self.ticked += 1;
        if self.ticked.is_multiple_of(CHECKPOINTS_PER_LOOK) {
            self.look_at_lag().await?;
        }
        let braked = !targets.is_empty() && self.gate.is_braked(&targets);
        self.tally.say(braked.then(|| {
            format!(
                "waits for the dispatchers: more than {MAX_LAG_RECORDS} deliveries are before it, or nobody can tell"
            )
        }));
        self.checkpoint().await
    }

    /// The ranges to read, in the order of partitions.
    async fn ranges(&mut self) -> Result<BTreeMap<i32, OffsetRange>, Halt> {
        let ranges = self.job.source.ranges().0.clone();
        match self.job.source.clone() {
            ReplaySource::DeadLetters(_) | ReplaySource::Rejected(_) => Ok(ranges),
            ReplaySource::Backfill(backfill) => self.backfill_ranges(&backfill, ranges).await,
        }
    }
}

/// Waits until a job is told to stop.
async fn told(order: &mut watch::Receiver<Order>) {
    if order.wait_for(|order| *order != Order::GoOn).await.is_err() {
        // Whoever gives orders is gone, and this task with it.
        std::future::pending::<()>().await;
    }
}
