//! The thread of a reader: makes what the client fetches be what the cursors want, and never waits for one of them.
//!
//! A partition that is not wanted for now is given up, and taken again at its offset: unlike a pause this leaves
//! nothing behind in the client, and the end is told again.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::Duration,
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    cursor::StartAt,
    lookup::Lookup,
    queue::{Generation, Queue, Wanted},
};
use crate::Record;

/// How late a command is noticed while something is fetched.
const POLL: Duration = Duration::from_millis(25);
/// How late the client's own messages are noticed while nothing is.
const IDLE: Duration = Duration::from_secs(1);
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Between an answer that a position is out of range and the question what the range is: not to ask at full speed
/// where the two disagree.
const OUT_OF_RANGE_PAUSE: Duration = Duration::from_millis(100);

/// What the thread is told.
pub(super) enum Command {
    /// A partition is to be read.
    Open(i32, Arc<Queue>),
    /// A queue has room again, or wants something else.
    Changed(i32),
    /// The ends of a partition were looked up for a position of this generation.
    Found(i32, Generation, (i64, i64)),
}

/// A cursor, as the thread sees it.
struct Cursor {
    queue: Arc<Queue>,
    /// The generation that is being fetched, if any.
    fetching: Option<Generation>,
    /// The generation whose partition's ends are being looked up, if any.
    looking_up: Option<Generation>,
}

pub(super) struct ReaderThread {
    lookup: Lookup,
    commands: mpsc::Receiver<Command>,
    found: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    cursors: HashMap<i32, Cursor>,
    runtime: runtime::Handle,
    lookups: TaskTracker,
    stop: CancellationToken,
}

impl ReaderThread {
    pub(super) fn new(
        lookup: Lookup,
        commands: mpsc::Receiver<Command>,
        runtime: runtime::Handle,
        stop: CancellationToken,
    ) -> Self {
        let found = mpsc::channel();
        Self { lookup, commands, found, cursors: HashMap::new(), runtime, lookups: TaskTracker::new(), stop }
    }

    /// Reads until the last handle is gone. Blocks its thread.
    pub(super) fn run(mut self) {
        loop {
            let busy = self.cursors.values().any(|cursor| cursor.fetching.is_some() || cursor.looking_up.is_some());
            let told = if busy {
                self.poll(POLL);
                self.commands.try_recv().map_err(|error| error == mpsc::TryRecvError::Disconnected)
            } else {
                let told = self.commands.recv_timeout(IDLE);
                self.poll(Duration::ZERO);
                told.map_err(|error| error == mpsc::RecvTimeoutError::Disconnected)
            };
            match told {
                Ok(command) => self.follow(command),
                Err(ended) if ended => return,
                Err(_) => {}
            }
            while let Ok(command) = self.commands.try_recv().or_else(|_| self.found.1.try_recv()) {
                self.follow(command);
            }
        }
    }

    fn poll(&mut self, patience: Duration) {
        let consumer = self.lookup.consumer.clone();
        match consumer.poll(patience) {
            None => {}
            Some(Ok(message)) => self.take(&message),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(Cursor { queue, fetching: Some(generation), .. }) = self.cursors.get(&partition) {
                    queue.push_end(*generation);
                }
            }
            Some(Err(error)) if is_out_of_range(&error) => self.look_for_out_of_range(),
            Some(Err(error)) => {
                tracing::warn!(%error, topic = &*self.lookup.topic, "Kafka reports an error; the client tries again");
            }
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        let Some(Cursor { queue, fetching: Some(generation), .. }) = self.cursors.get(&partition) else { return };
        let record = Record::detach(message, self.lookup.topic.clone());
        if !queue.push(*generation, record) {
            self.reconcile(partition);
        }
    }

    fn follow(&mut self, command: Command) {
        match command {
            Command::Open(partition, queue) => {
                if let Some(earlier) = self.cursors.get(&partition) {
                    earlier.queue.close();
                    self.reconcile(partition);
                }
                self.cursors.insert(partition, Cursor { queue, fetching: None, looking_up: None });
                self.reconcile(partition);
            }
            Command::Changed(partition) => self.reconcile(partition),
            Command::Found(partition, generation, ends) => self.found(partition, generation, ends),
        }
    }

    /// Makes what is fetched of a partition be what its cursor wants.
    fn reconcile(&mut self, partition: i32) {
        let Some(cursor) = self.cursors.get_mut(&partition) else { return };
        let wanted = cursor.queue.wanted();
        if let (Some(fetching), Wanted::From(generation, _)) = (cursor.fetching, wanted)
            && fetching == generation
        {
            return;
        }
        let was_fetched = cursor.fetching.take().is_some();
        match wanted {
            Wanted::Closed => {
                self.cursors.remove(&partition);
            }
            Wanted::From(generation, StartAt::Offset(_)) => cursor.fetching = Some(generation),
            Wanted::Nothing | Wanted::From(..) => {}
        }
        if was_fetched {
            self.give_up(partition);
        }
        match wanted {
            Wanted::From(_, StartAt::Offset(offset)) => self.fetch(partition, offset),
            Wanted::From(generation, StartAt::Beginning | StartAt::End) => {
                self.look_up(partition, generation, Duration::ZERO);
            }
            Wanted::Closed | Wanted::Nothing => {}
        }
    }

    fn fetch(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::with_capacity(1);
        let assigned = list
            .add_partition_offset(&self.lookup.topic, partition, Offset::Offset(offset))
            .and_then(|()| self.lookup.consumer.incremental_assign(&list));
        if let Err(error) = assigned {
            tracing::error!(%error, topic = &*self.lookup.topic, partition, offset, "a partition can't be read");
        }
    }

    fn give_up(&self, partition: i32) {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.lookup.topic, partition);
        if let Err(error) = self.lookup.consumer.incremental_unassign(&list) {
            tracing::error!(%error, topic = &*self.lookup.topic, partition, "a partition can't be given up");
        }
    }

    /// Looks up a partition's ends `after` a while, off this thread and however long it takes, for a position of
    /// `generation`.
    fn look_up(&mut self, partition: i32, generation: Generation, after: Duration) {
        let Some(cursor) = self.cursors.get_mut(&partition) else { return };
        if cursor.looking_up.replace(generation) == Some(generation) {
            return;
        }
        let (lookup, stop, found) = (self.lookup.clone(), self.stop.clone(), self.found.0.clone());
        let ends = async move {
            tokio::time::sleep(after).await;
            loop {
                match lookup.watermarks(partition).await {
                    Ok(ends) => return ends,
                    Err(error) => tracing::warn!(%error, "trying again"),
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        let task = async move {
            if let Some(ends) = stop.run_until_cancelled(ends).await {
                // The thread may have ended.
                let _ = found.send(Command::Found(partition, generation, ends));
            }
        };
        self.lookups.spawn_on(task, &self.runtime);
    }

    fn found(&mut self, partition: i32, generation: Generation, (low, high): (i64, i64)) {
        let Some(cursor) = self.cursors.get_mut(&partition) else { return };
        if cursor.looking_up != Some(generation) {
            return;
        }
        cursor.looking_up = None;
        match cursor.queue.wanted() {
            Wanted::From(_, StartAt::Beginning) => cursor.queue.resolve(generation, low),
            Wanted::From(_, StartAt::End) => cursor.queue.resolve(generation, high),
            _ => {
                if cursor.queue.keep_within(generation, low, high) {
                    let topic = &*self.lookup.topic;
                    metrics::counter!("postrider_offsets_out_of_range_total", "topic" => topic.to_owned()).increment(1);
                    tracing::error!(topic, partition, low, high, "a position is out of range; continuing from {low}");
                }
                // The client fetches no more of a partition once it was out of range, even if it is not any longer.
                if cursor.fetching.take_if(|fetching| *fetching == generation).is_some() {
                    self.give_up(partition);
                }
            }
        }
        self.reconcile(partition);
    }

    /// The client does not say which partition it is: compares every position with what there is.
    fn look_for_out_of_range(&mut self) {
        let fetching = self.cursors.iter().filter_map(|(partition, cursor)| Some((*partition, cursor.fetching?)));
        for (partition, generation) in fetching.collect::<Vec<_>>() {
            self.look_up(partition, generation, OUT_OF_RANGE_PAUSE);
        }
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}
