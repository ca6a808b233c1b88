//! The poll thread: reads, hands over without ever waiting for a stage, commits, and answers the group.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::{runtime::Handle, sync::mpsc, time::Instant};

use super::{
    committer::Committer,
    context::{Context, Rebalance, TopicPartition},
    positions::{self, Start},
    slot::Slot,
    stage::StageConfig,
    stream::PartitionStream,
};
use crate::{Record, Shutdown};

const COMMIT_INTERVAL: Duration = Duration::from_millis(25);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(2);
/// How long a poll may wait while nothing is in flight: also how late a command or a stop is noticed.
const IDLE_POLL: Duration = Duration::from_millis(50);
const BUSY_POLL: Duration = Duration::from_millis(5);
/// How long the last commit of a partition that is given up may take after its drain.
const FINAL_COMMIT_TIMEOUT: Duration = Duration::from_secs(3);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);

/// What other threads ask the poll thread to do.
enum Command {
    /// Newly assigned partitions have their positions.
    Begin(Vec<Start>),
    /// A position was out of range: read on from here.
    Reposition(TopicPartition, i64),
}

pub(super) struct PollThread {
    consumer: Arc<BaseConsumer<Context>>,
    committer: Committer,
    config: StageConfig,
    shutdown: Shutdown,
    new_partitions: mpsc::UnboundedSender<PartitionStream>,
    slots: HashMap<Arc<str>, HashMap<i32, Slot>>,
    /// Assigned by the group, waiting for their positions.
    beginning: Vec<TopicPartition>,
    commands: (std::sync::mpsc::Sender<Command>, std::sync::mpsc::Receiver<Command>),
    /// Whether a commit is in flight.
    committing: bool,
    next_commit: Instant,
    stopping: bool,
}

impl PollThread {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        committer: Committer,
        config: StageConfig,
        shutdown: Shutdown,
        new_partitions: mpsc::UnboundedSender<PartitionStream>,
    ) -> Self {
        Self {
            consumer,
            committer,
            config,
            shutdown,
            new_partitions,
            slots: HashMap::new(),
            beginning: Vec::new(),
            commands: std::sync::mpsc::channel(),
            committing: false,
            next_commit: Instant::now(),
            stopping: false,
        }
    }

    /// Polls until the shutdown is over. Blocks its thread.
    pub(super) fn run(mut self, runtime: &Handle) {
        let mut next_housekeeping = Instant::now();
        loop {
            let consumer = self.consumer.clone();
            match consumer.poll(self.pace()) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.on_error(&error, runtime),
                None => next_housekeeping = Instant::now(),
            }
            let now = Instant::now();
            if now < next_housekeeping {
                continue;
            }
            next_housekeeping = now + HOUSEKEEPING_INTERVAL;
            self.listen(runtime, now);
            self.follow_commands();
            self.hand_over();
            self.stop_if_told(now);
            self.finish_drains(now);
            self.commit_if_due(now);
            if self.stopping && self.slots.is_empty() {
                break;
            }
        }
        // Leaves the group. Nothing is assigned to a stage any more.
        self.consumer.context().close();
    }

    /// How long the next poll may wait.
    fn pace(&self) -> Duration {
        let busy = self.all_slots().any(|slot| slot.paused || slot.drain_until.is_some() || slot.window.span() > 0);
        if busy || self.committing { BUSY_POLL } else { IDLE_POLL }
    }

    fn all_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values().flat_map(HashMap::values)
    }

    fn slot_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Slot> {
        self.slots.get_mut(topic)?.get_mut(&partition)
    }

    fn take(&mut self, message: &rdkafka::message::BorrowedMessage<'_>) {
        let Some((topic, partitions)) = self.slots.get_key_value(message.topic()) else { return };
        if !partitions.contains_key(&message.partition()) {
            return;
        }
        let record = Record::detach(message, topic.clone());
        let Some(slot) = self.slot_mut(message.topic(), message.partition()) else { return };
        if slot.drain_until.is_some() || slot.take(record) || slot.paused {
            return;
        }
        slot.paused = true;
        if let Err(error) = self.consumer.pause(&one(message.topic(), message.partition())) {
            tracing::warn!(%error, "a partition can't be paused");
        }
    }

    /// Acts on what librdkafka told since the last look.
    fn listen(&mut self, runtime: &Handle, now: Instant) {
        let told = self.consumer.context().take();
        if !told.commits.is_empty() {
            self.committing = false;
        }
        for ((topic, partition), succeeded) in told.commits {
            if !succeeded && let Some(slot) = self.slot_mut(&topic, partition) {
                slot.committed = None;
                metrics::counter!("postrider_commit_failures_total").increment(1);
            }
        }
        for rebalance in told.rebalances {
            tracing::debug!(group = self.config.group, ?rebalance, "the group changes");
            match rebalance {
                Rebalance::Assign(partitions) => self.begin(partitions, runtime),
                Rebalance::Revoke { partitions, lost } => self.revoke(&partitions, lost, now),
            }
        }
    }

    /// Looks up where new partitions start, off this thread.
    fn begin(&mut self, partitions: Vec<TopicPartition>, runtime: &Handle) {
        if partitions.is_empty() {
            self.answer_assign(&TopicPartitionList::new());
            return;
        }
        self.beginning.extend(partitions.iter().cloned());
        let found = positions::find(self.consumer.clone(), self.config.positions.clone(), partitions);
        let (commands, soft) = (self.commands.0.clone(), self.shutdown.soft.clone());
        runtime.spawn(async move {
            if let Some(starts) = soft.run_until_cancelled(found).await {
                // The thread may have ended.
                let _ = commands.send(Command::Begin(starts));
            }
        });
    }

    fn answer_assign(&self, list: &TopicPartitionList) {
        if let Err(error) = self.consumer.incremental_assign(list) {
            tracing::warn!(%error, group = self.config.group, "an assignment could not be taken");
        }
    }

    fn follow_commands(&mut self) {
        while let Ok(command) = self.commands.1.try_recv() {
            match command {
                Command::Begin(starts) => self.assign(starts),
                Command::Reposition((topic, partition), offset) => self.reposition(&topic, partition, offset),
            }
        }
    }

    fn assign(&mut self, starts: Vec<Start>) {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for start in starts {
            let Some(waiting) = self.beginning.iter().position(|waiting| *waiting == start.partition) else {
                continue; // revoked before its position was known
            };
            self.beginning.swap_remove(waiting);
            let (topic, partition) = start.partition;
            list.add_partition_offset(&topic, partition, start.offset).expect("an offset of ours is valid");
            let topic: Arc<str> = topic.into();
            let (slot, stream) = Slot::new(topic.clone(), partition, start.metadata, self.config.queue_capacity);
            self.slots.entry(topic).or_default().insert(partition, slot);
            // The stage may have ended: then the stream is dropped and nothing is read from it.
            let _ = self.new_partitions.send(stream);
        }
        self.answer_assign(&list);
        // A pause survives revoke and re-assign.
        if let Err(error) = self.consumer.resume(&list) {
            tracing::warn!(%error, "newly assigned partitions can't be resumed");
        }
    }

    fn revoke(&mut self, partitions: &[TopicPartition], lost: bool, now: Instant) {
        let deadline = if lost { now } else { now + self.config.revoke_drain };
        let mut unassigned = TopicPartitionList::new();
        for (topic, partition) in partitions {
            self.beginning.retain(|waiting| !(waiting.0 == *topic && waiting.1 == *partition));
            match self.slot_mut(topic, *partition) {
                Some(slot) => {
                    if lost {
                        slot.window.close();
                    }
                    slot.stop(deadline);
                    // What it fetched ahead is of no use; an error means it is gone already.
                    let _ = self.consumer.pause(&one(topic, *partition));
                }
                None => {
                    unassigned.add_partition(topic, *partition);
                }
            }
        }
        if unassigned.count() > 0 || partitions.is_empty() {
            self.answer_revoke(&unassigned);
        }
    }

    fn answer_revoke(&self, list: &TopicPartitionList) {
        if let Err(error) = self.consumer.incremental_unassign(list) {
            tracing::debug!(%error, group = self.config.group, "a revoked partition was not assigned");
        }
    }

    /// Hands over what did not fit, and resumes partitions that have room again.
    fn hand_over(&mut self) {
        for (topic, partitions) in &mut self.slots {
            for (partition, slot) in partitions {
                slot.push_surplus();
                if slot.paused && slot.drain_until.is_none() && slot.has_ample_room() {
                    slot.paused = false;
                    if let Err(error) = self.consumer.resume(&one(topic, *partition)) {
                        tracing::warn!(%error, "a partition can't be resumed");
                    }
                }
            }
        }
    }

    fn stop_if_told(&mut self, now: Instant) {
        let hard = self.shutdown.hard.is_cancelled();
        if !hard && (self.stopping || !self.shutdown.soft.is_cancelled()) {
            return;
        }
        self.stopping = true;
        self.beginning.clear();
        let deadline = if hard { now } else { now + self.config.shutdown_drain };
        self.slots.values_mut().flat_map(HashMap::values_mut).for_each(|slot| slot.stop(deadline));
    }

    /// Gives up the partitions whose drain is over, once what they settled is committed.
    fn finish_drains(&mut self, now: Instant) {
        let mut drained = TopicPartitionList::new();
        for (topic, partitions) in &mut self.slots {
            partitions.retain(|partition, slot| {
                let committed = slot.dirty().is_none() && !self.committing;
                let over = slot.drained(now) && (committed || slot.given_up(now, FINAL_COMMIT_TIMEOUT));
                if over {
                    drained.add_partition(topic, *partition);
                }
                !over
            });
        }
        self.slots.retain(|_, partitions| !partitions.is_empty());
        if drained.count() > 0 {
            self.answer_revoke(&drained);
        }
    }

    fn commit_if_due(&mut self, now: Instant) {
        if now < self.next_commit || self.committing || self.consumer.assignment_lost() {
            return;
        }
        self.next_commit = now + COMMIT_INTERVAL;
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in &mut self.slots {
            for (partition, slot) in partitions {
                if let Some((offset, metadata)) = slot.dirty() {
                    add(&mut list, topic, *partition, offset, &metadata.to_string());
                    slot.committed = Some(offset);
                }
            }
        }
        if list.count() > 0 {
            self.committing = true;
            self.committer.commit(list);
        }
    }

    fn on_error(&self, error: &KafkaError, runtime: &Handle) {
        let group = &self.config.group;
        let out_of_range = [RDKafkaErrorCode::AutoOffsetReset, RDKafkaErrorCode::OffsetOutOfRange];
        if error.rdkafka_error_code().is_some_and(|code| out_of_range.contains(&code)) {
            metrics::counter!("postrider_offsets_out_of_range_total", "group" => group.clone()).increment(1);
            tracing::error!(%error, group, "committed offsets are out of range");
            self.find_out_of_range(runtime);
        } else {
            tracing::warn!(%error, group, "Kafka reports an error; the client tries again");
        }
    }

    /// The client does not say which partition it is: compares every position with what there is.
    fn find_out_of_range(&self, runtime: &Handle) {
        let (consumer, commands) = (self.consumer.clone(), self.commands.0.clone());
        runtime.spawn_blocking(move || {
            let Ok(positions) = consumer.position() else { return };
            for element in positions.elements() {
                let known = consumer.fetch_watermarks(element.topic(), element.partition(), WATERMARK_TIMEOUT);
                let Ok((low, high)) = known else { continue };
                let in_range = matches!(element.offset(), Offset::Offset(at) if (low..=high).contains(&at));
                if !in_range {
                    let partition = (element.topic().to_owned(), element.partition());
                    // The thread may have ended.
                    let _ = commands.send(Command::Reposition(partition, low));
                }
            }
        });
    }

    fn reposition(&mut self, topic: &str, partition: i32, offset: i64) {
        if self.slot_mut(topic, partition).is_none() {
            return;
        }
        tracing::error!(group = self.config.group, topic, partition, offset, "continuing from the earliest record");
        if let Err(error) = self.consumer.seek(topic, partition, Offset::Offset(offset), Duration::ZERO) {
            tracing::error!(%error, topic, partition, "the position can't be set");
        }
    }
}

fn one(topic: &str, partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    list
}

fn add(list: &mut TopicPartitionList, topic: &str, partition: i32, offset: i64, metadata: &str) {
    let mut element = list.add_partition(topic, partition);
    element.set_offset(Offset::Offset(offset)).expect("an offset of ours is valid");
    element.set_metadata(metadata);
}
