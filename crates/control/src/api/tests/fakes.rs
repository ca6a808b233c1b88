//! What stands in for Kafka and name servers.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use postrider_domain::{
    Attempt, Delivery, DeliveryEvent, DeliveryEventBody, DirectoryVersion, EndpointId, Event, JobId, SourceCoordinates,
    Timestamp,
    overrides::Override,
    replay::{Backfill, DeadLetterMark, DesiredState, OffsetRanges, ReplayJob, ReplaySource, ReplayState},
};

use crate::{
    api::{
        DeliveryStore, EventReader, EventToPublish, Handshakes, HostResolver, NoEvents, PublishError, Published,
        Publisher, Question, Reply, StoredDelivery,
    },
    clock,
    replays::{BackfillOf, NewReplay, Replay, ReplayError, ReplayJobs, Source, What},
    test_sends::{TestSendError, TestSender},
};

/// Hosts and their addresses; others don't resolve.
#[derive(Default)]
pub struct FakeResolver(pub HashMap<&'static str, Vec<IpAddr>>);

impl HostResolver for FakeResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>> {
        let answer = self.0.get(host).cloned().ok_or_else(|| "no such host".to_owned());
        async move { answer }.boxed()
    }
}

/// Keeps what was published, or does what the test says.
#[derive(Default)]
pub struct FakePublisher {
    pub published: Mutex<Vec<EventToPublish>>,
    /// The ids of what was to be published, also of what failed.
    pub tried: Mutex<Vec<String>>,
    pub fails: Mutex<Option<PublishError>>,
    pub hangs: Mutex<bool>,
}

impl Publisher for FakePublisher {
    fn publish(&self, event: EventToPublish) -> BoxFuture<'_, Result<Published, PublishError>> {
        async move {
            self.tried.lock().push(event.id.clone());
            if *self.hangs.lock() {
                futures::future::pending::<()>().await;
            }
            if let Some(error) = self.fails.lock().clone() {
                return Err(error);
            }
            let mut published = self.published.lock();
            published.push(event);
            let offset = i64::try_from(published.len()).expect("few") - 1;
            Ok(Published { topic: "postrider.events".to_owned(), partition: 0, offset })
        }
        .boxed()
    }
}

/// Keeps the tests that were sent, and answers what the test says.
#[derive(Default)]
pub struct FakeTests {
    pub sent: Mutex<Vec<Delivery>>,
    pub outcome: Mutex<Option<DeliveryEventBody>>,
}

impl TestSender for FakeTests {
    fn send(&self, delivery: Delivery, patience: Duration) -> BoxFuture<'_, Result<DeliveryEvent, TestSendError>> {
        let body = self.outcome.lock().clone().ok_or(TestSendError::NoOutcome(patience));
        self.sent.lock().push(delivery.clone());
        async move {
            let now = clock::now();
            Ok(DeliveryEvent {
                message_id: delivery.message_id,
                run: delivery.run,
                kind: delivery.kind,
                attempt: Attempt::FIRST,
                version: None,
                held: None,
                stored: None,
                event_id: delivery.event_id,
                event_type: delivery.event_type,
                tenant: delivery.tenant,
                endpoint: delivery.endpoint,
                subscription: delivery.subscription,
                source: delivery.source,
                matched_at: now,
                at: now,
                body: body?,
            })
        }
        .boxed()
    }
}

/// Keeps jobs and marks; nobody works on them.
#[derive(Default)]
pub struct FakeReplays {
    pub jobs: Mutex<Vec<Replay>>,
    pub marks: Mutex<Vec<DeadLetterMark>>,
}

impl FakeReplays {
    fn at(&self, id: &JobId) -> Result<usize, ReplayError> {
        let found = self.jobs.lock().iter().position(|replay| replay.job.id == *id);
        found.ok_or_else(|| ReplayError::NotFound(id.clone()))
    }
}

impl ReplayJobs for FakeReplays {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn source(&self, name: &str, _: Option<&str>) -> Result<Source, String> {
        match name {
            "orders" => Ok(Source { name: name.to_owned(), topic: name.to_owned() }),
            _ => Err(format!("there is no source '{name}'")),
        }
    }

    fn create(&self, new: NewReplay) -> BoxFuture<'_, Result<ReplayJob, ReplayError>> {
        let now = clock::now();
        let job = ReplayJob {
            id: JobId::generate(now, &mut clock::rng()),
            tenant: new.tenant,
            source: match new.what {
                What::DeadLetters(query) => ReplaySource::DeadLetters(query),
                What::Rejected(query) => ReplaySource::Rejected(query),
                What::Backfill { source, of, since, until } => ReplaySource::Backfill(Backfill {
                    source: source.name,
                    endpoint: match of {
                        BackfillOf::Endpoint(endpoint) => endpoint,
                        BackfillOf::Subscription(_) => EndpointId::from_trusted("ep_1"),
                    },
                    subscription: None,
                    version: DirectoryVersion { epoch: 1, seq: 1 },
                    since,
                    until,
                    ranges: OffsetRanges::default(),
                }),
            },
            dry_run: new.dry_run,
            rate_per_second: new.rate_per_second,
            desired: DesiredState::Running,
            created_by: new.created_by,
            created_at: now,
        };
        self.jobs.lock().push(Replay { job: job.clone(), progress: None });
        async move { Ok(job) }.boxed()
    }

    fn find<'a>(&'a self, id: &'a JobId) -> BoxFuture<'a, Result<Replay, ReplayError>> {
        let found = self.at(id).map(|index| self.jobs.lock()[index].clone());
        async move { found }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Replay>, ReplayError>> {
        let jobs = self.jobs.lock().clone();
        async move { Ok(jobs) }.boxed()
    }

    fn desire<'a>(&'a self, id: &'a JobId, desired: DesiredState) -> BoxFuture<'a, Result<ReplayJob, ReplayError>> {
        let told = self.at(id).and_then(|index| {
            let replay = &mut self.jobs.lock()[index];
            if replay.job.desired == DesiredState::Cancelled {
                return Err(ReplayError::Ended { id: id.clone(), state: ReplayState::Cancelled });
            }
            replay.job.desired = desired;
            Ok(replay.job.clone())
        });
        async move { told }.boxed()
    }

    fn mark(&self, marks: Vec<DeadLetterMark>) -> BoxFuture<'_, Result<(), ReplayError>> {
        self.marks.lock().extend(marks);
        async move { Ok(()) }.boxed()
    }
}

/// What an endpoint replies to a question.
type Replies = Box<dyn Fn(&Question) -> Result<Reply, String> + Send>;

/// Keeps what endpoints were asked, and replies as the test says.
#[derive(Default)]
pub struct FakeHandshakes {
    pub asked: Mutex<Vec<Question>>,
    pub reply: Mutex<Option<Replies>>,
}

impl Handshakes for FakeHandshakes {
    fn send(&self, question: Question) -> BoxFuture<'_, Result<Reply, String>> {
        let reply = self.reply.lock().as_ref().map_or_else(|| Err("no answer".to_owned()), |reply| reply(&question));
        self.asked.lock().push(question);
        async move { reply }.boxed()
    }
}

/// What stands in sources.
#[derive(Default)]
pub struct FakeEvents(pub Mutex<Vec<Event>>);

impl EventReader for FakeEvents {
    fn events_at<'a>(&'a self, at: &'a SourceCoordinates) -> BoxFuture<'a, Result<Vec<Event>, NoEvents>> {
        let events: Vec<Event> = self.0.lock().iter().filter(|event| event.coordinates == *at).cloned().collect();
        async move { if events.is_empty() { Err(NoEvents::Gone) } else { Ok(events) } }.boxed()
    }
}

/// What stands in the deliveries' topic, and what was written there.
#[derive(Default)]
pub struct FakeDeliveries {
    pub stored: Mutex<HashMap<i64, StoredDelivery>>,
    pub sent: Mutex<Vec<StoredDelivery>>,
    pub orders: Mutex<Vec<Override>>,
    pub fails: Mutex<bool>,
}

impl FakeDeliveries {
    fn answer<T>(&self, answer: T) -> Result<T, String> {
        if *self.fails.lock() { Err("no broker".to_owned()) } else { Ok(answer) }
    }
}

impl DeliveryStore for FakeDeliveries {
    fn read<'a>(&'a self, at: &'a SourceCoordinates) -> BoxFuture<'a, Result<Option<StoredDelivery>, String>> {
        let found = self.answer(self.stored.lock().get(&at.offset).cloned());
        async move { found }.boxed()
    }

    fn send<'a>(&'a self, stored: &'a StoredDelivery) -> BoxFuture<'a, Result<(), String>> {
        let sent = self.answer(()).map(|()| self.sent.lock().push(stored.clone()));
        async move { sent }.boxed()
    }

    fn order<'a>(&'a self, order: &'a Override) -> BoxFuture<'a, Result<(), String>> {
        let ordered = self.answer(()).map(|()| self.orders.lock().push(order.clone()));
        async move { ordered }.boxed()
    }

    fn queued(&self) -> BoxFuture<'_, Result<i64, String>> {
        let queued = self.answer(7);
        async move { queued }.boxed()
    }
}
