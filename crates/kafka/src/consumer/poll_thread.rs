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
    out_of_range::{self, Ends},
    paused::PausedEnds,
    positions::{self, Start},
    slot::Slot,
    stage::StageConfig,
    stream::PartitionStream,
    subscription,
};
use crate::{Record, Shutdown, window::Settled};

const COMMIT_INTERVAL: Duration = Duration::from_millis(25);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(2);
/// How long a poll may wait while nothing is in flight: how late a stop is noticed. A record ends it at once.
const IDLE_POLL: Duration = Duration::from_millis(200);
/// The same while something is in flight that does not move: how late it is noticed that it does.
const QUIET_POLL: Duration = Duration::from_millis(50);
/// The same while something moves.
const BUSY_POLL: Duration = Duration::from_millis(5);
/// How long the last commit of a partition that is given up may take after its drain.
const FINAL_COMMIT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it is remembered what was done of a partition that was given up. By then others have committed more.
const REMEMBERED_FOR: Duration = Duration::from_mins(5);
const GAUGES_INTERVAL: Duration = Duration::from_secs(1);

/// What other threads ask the poll thread to do.
enum Command {
    /// Newly assigned partitions have their positions.
    Begin(Vec<Start>),
    /// Some position was out of range; these are the partitions' ends.
    Reposition(Vec<Ends>),
    /// These topics match the stage's pattern.
    Subscribe(Vec<String>),
}

pub(super) struct PollThread {
    consumer: Arc<BaseConsumer<Context>>,
    committer: Committer,
    config: StageConfig,
    shutdown: Shutdown,
    new_partitions: mpsc::UnboundedSender<PartitionStream>,
    slots: HashMap<Arc<str>, HashMap<i32, Slot>>,
    /// What was done of partitions when they were given up: they may come back before it could be committed.
    given_up: HashMap<TopicPartition, (Instant, Settled)>,
    /// Assigned by the group, waiting for their positions.
    beginning: Vec<TopicPartition>,
    commands: (std::sync::mpsc::Sender<Command>, std::sync::mpsc::Receiver<Command>),
    /// The partitions whose commit is in flight.
    committing: Vec<TopicPartition>,
    next_commit: Instant,
    next_gauges: Instant,
    paused_ends: PausedEnds,
    /// How long the next poll may wait.
    patience: Duration,
    /// Whether it is being looked up which position is out of range.
    looking_up_ends: bool,
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
            given_up: HashMap::new(),
            beginning: Vec::new(),
            commands: std::sync::mpsc::channel(),
            committing: Vec::new(),
            next_commit: Instant::now(),
            next_gauges: Instant::now(),
            paused_ends: PausedEnds::new(Instant::now()),
            patience: QUIET_POLL,
            looking_up_ends: false,
            stopping: false,
        }
    }

    /// Looks up, off this thread, which topics match the stage's pattern, if it has one.
    pub(super) fn follow_topics(&self, runtime: &Handle, interval: Duration) {
        let Some(pattern) = self.config.pattern.clone() else { return };
        let commands = self.commands.0.clone();
        // The thread may have ended.
        let subscribe = move |topics| drop(commands.send(Command::Subscribe(topics)));
        let following = subscription::follow(self.consumer.clone(), pattern, interval, subscribe);
        let soft = self.shutdown.soft.clone();
        runtime.spawn(async move { soft.run_until_cancelled(following).await });
    }

    fn subscribe(&self, topics: &[String]) {
        tracing::info!(group = self.config.group, ?topics, "these topics match");
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Err(error) = self.consumer.subscribe(&topics) {
            tracing::error!(%error, group = self.config.group, "can't subscribe to the topics that match");
        }
    }

    /// Polls until the shutdown is over. Blocks its thread.
    pub(super) fn run(mut self, runtime: &Handle) {
        let mut next_housekeeping = Instant::now();
        loop {
            let consumer = self.consumer.clone();
            match consumer.poll(self.patience) {
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
            self.follow_commands(now);
            self.hand_over();
            self.stop_if_told(now);
            self.finish_drains(now);
            self.commit_if_due(now);
            self.update_gauges_if_due(now, runtime);
            self.patience = self.patience_from(now);
            if self.stopping && self.slots.is_empty() {
                break;
            }
        }
        // Leaves the group. Nothing is assigned to a stage any more.
        self.consumer.context().close();
    }

    fn patience_from(&mut self, now: Instant) -> Duration {
        let (mut busy, mut in_flight) =
            (!self.committing.is_empty(), !self.beginning.is_empty() || self.looking_up_ends);
        for slot in self.slots.values_mut().flat_map(HashMap::values_mut) {
            busy |= slot.is_busy(now);
            in_flight |= slot.is_in_flight();
        }
        match (busy, in_flight) {
            (true, _) => BUSY_POLL,
            (false, true) => QUIET_POLL,
            (false, false) => IDLE_POLL,
        }
    }

    fn slot_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Slot> {
        self.slots.get_mut(topic)?.get_mut(&partition)
    }

    fn take(&mut self, message: &rdkafka::message::BorrowedMessage<'_>) {
        let Some((topic, partitions)) = self.slots.get_key_value(message.topic()) else { return };
        if !partitions.contains_key(&message.partition()) {
            return;
        }
        self.patience = BUSY_POLL;
        let record = Record::detach(message, topic.clone());
        let Some(slot) = self.slot_mut(message.topic(), message.partition()) else { return };
        if slot.drain_until.is_some() || slot.take(record) || slot.paused {
            return;
        }
        slot.paused = true;
        metrics::counter!("postrider_consumer_pauses_total", "group" => self.config.group.clone()).increment(1);
        if let Err(error) = self.consumer.pause(&one(message.topic(), message.partition())) {
            tracing::warn!(%error, "a partition can't be paused");
        }
    }

    /// Acts on what librdkafka told since the last look.
    fn listen(&mut self, runtime: &Handle, now: Instant) {
        let told = self.consumer.context().take();
        if let Some(succeeded) = told.commit {
            let partitions = std::mem::take(&mut self.committing);
            if !succeeded {
                metrics::counter!("postrider_commit_failures_total").increment(1);
                for (topic, partition) in partitions {
                    self.slot_mut(&topic, partition).into_iter().for_each(Slot::commit_failed);
                }
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
        let (positions, companion) = (self.config.positions.clone(), self.config.companion.clone());
        let found = positions::find(self.consumer.clone(), positions, companion, partitions);
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

    fn follow_commands(&mut self, now: Instant) {
        while let Ok(command) = self.commands.1.try_recv() {
            match command {
                Command::Begin(starts) => self.assign(starts, now),
                Command::Reposition(ends) => self.reposition(ends),
                Command::Subscribe(topics) => self.subscribe(&topics),
            }
        }
    }

    fn assign(&mut self, starts: Vec<Start>, now: Instant) {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for start in starts {
            let Some(waiting) = self.beginning.iter().position(|waiting| *waiting == start.partition) else {
                continue; // revoked before its position was known
            };
            self.beginning.swap_remove(waiting);
            let offset = start.offset();
            let known = self.given_up.remove(&start.partition).filter(|(at, _)| now < *at + REMEMBERED_FOR);
            let window = match known {
                Some((_, known)) if self.config.positions.are_committed() => start.window.knowing(&known),
                _ => start.window,
            };
            let (topic, partition) = start.partition;
            list.add_partition_offset(&topic, partition, offset).expect("an offset of ours is valid");
            let topic: Arc<str> = topic.into();
            let (group, queue) = (&self.config.group, self.config.queue);
            let (slot, stream) = Slot::new(group, topic.clone(), partition, window, queue, now);
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
                    self.committer.wake((topic.to_string(), *partition));
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
                let committed = !slot.is_dirty(now) && self.committing.is_empty();
                let over = slot.drained(now) && (committed || slot.given_up(now, FINAL_COMMIT_TIMEOUT));
                if over {
                    drained.add_partition(topic, *partition);
                    self.given_up.insert((topic.to_string(), *partition), (now, slot.window.settled()));
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
        if now < self.next_commit || !self.committing.is_empty() || self.consumer.assignment_lost() {
            return;
        }
        self.next_commit = now + COMMIT_INTERVAL;
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in &mut self.slots {
            for (partition, slot) in partitions.iter_mut().filter(|(_, slot)| slot.is_dirty(now)) {
                let commit = slot.commit(now);
                if let Some((offset, metadata)) = commit.own {
                    add(&mut list, topic, *partition, offset, &metadata);
                }
                if let (Some(offset), Some(companion)) = (commit.companion, &self.config.companion) {
                    add(&mut list, companion, *partition, offset, "");
                }
                self.committing.push((topic.to_string(), *partition));
            }
        }
        if list.count() > 0 {
            self.committer.commit(list);
        } else {
            self.committing.clear();
        }
    }

    fn update_gauges_if_due(&mut self, now: Instant, runtime: &Handle) {
        if now < self.next_gauges {
            return;
        }
        self.next_gauges = now + GAUGES_INTERVAL;
        self.slots.values_mut().flat_map(HashMap::values_mut).for_each(|slot| slot.update_gauges(now));
        let slots = || self.slots.iter().flat_map(|(topic, slots)| slots.iter().map(move |slot| (topic, slot)));
        let settled = slots().map(|(topic, (partition, slot))| (&**topic, *partition, slot.window.prefix()));
        self.consumer.context().show_lag(settled);
        let paused = slots().filter(|(_, (_, slot))| slot.paused);
        let paused = paused.map(|(topic, (partition, _))| (topic.to_string(), *partition));
        self.paused_ends.look_up_if_due(&self.consumer, paused, now, (runtime, &self.shutdown.soft));
    }

    fn on_error(&mut self, error: &KafkaError, runtime: &Handle) {
        let group = self.config.group.clone();
        let out_of_range = [RDKafkaErrorCode::AutoOffsetReset, RDKafkaErrorCode::OffsetOutOfRange];
        if error.rdkafka_error_code().is_some_and(|code| out_of_range.contains(&code)) {
            metrics::counter!("postrider_offsets_out_of_range_total", "group" => group.clone()).increment(1);
            tracing::error!(%error, group, "a position is out of range");
            self.look_up_ends(runtime);
        } else {
            tracing::warn!(%error, group, "Kafka reports an error; the client tries again");
        }
    }

    /// The client does not say which partition it is: looks up what there is of each.
    fn look_up_ends(&mut self, runtime: &Handle) {
        if std::mem::replace(&mut self.looking_up_ends, true) {
            return;
        }
        let partitions = self.slots.iter().flat_map(|(topic, slots)| slots.keys().map(|p| (topic.to_string(), *p)));
        let ends = out_of_range::look_up(self.consumer.clone(), partitions.collect());
        let (commands, soft) = (self.commands.0.clone(), self.shutdown.soft.clone());
        runtime.spawn(async move {
            if let Some(ends) = soft.run_until_cancelled(ends).await {
                // The thread may have ended.
                let _ = commands.send(Command::Reposition(ends));
            }
        });
    }

    /// Sets the positions that are out of range to the earliest record, and the others to where they are: the client
    /// fetches no more of a partition once it was out of range, even if it is not any longer.
    fn reposition(&mut self, all_ends: Vec<Ends>) {
        self.looking_up_ends = false;
        for ends in all_ends {
            let (topic, partition) = &ends.partition;
            let Some(slot) = self.slot_mut(topic, *partition).filter(|slot| slot.drain_until.is_none()) else {
                continue;
            };
            let next = slot.window.next();
            let (offset, missed) = ends.go_on(next);
            if missed {
                let (group, low, high) = (&self.config.group, ends.low, ends.high);
                tracing::error!(group, topic, partition, next, low, high, "continuing from the earliest record");
            }
            if let Err(error) = self.consumer.seek(topic, *partition, Offset::Offset(offset), Duration::ZERO) {
                tracing::error!(%error, topic, partition, "the position can't be set");
            }
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
