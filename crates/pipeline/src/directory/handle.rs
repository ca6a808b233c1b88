//! What stages see of the directory.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};
use postrider_domain::{
    DirectoryVersion, Endpoint, EndpointId, Subscription, TenantId, Timestamp, delivery_event::HoldReason,
    event_type::CompiledEventType, filter::EventView,
};
use postrider_kafka::{Codec, KafkaConfig, ReadinessHandle, Shutdown, TableReader, Topics};
use tokio::sync::watch;

use super::{
    follower::Follower,
    state::{Change, State, Status},
};

/// The endpoints and subscriptions of the deployment. Clones share them.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    codec: Codec,
    state: RwLock<State>,
    view: watch::Sender<View>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct View {
    version: DirectoryVersion,
    status: Status,
}

/// The subscriptions that an event could match, and the version that says so.
#[derive(Debug, Clone)]
pub struct Candidates {
    /// The directory's version at the look-up.
    pub version: DirectoryVersion,
    /// The newest version up to there at which a subscription came or changed.
    pub grown: DirectoryVersion,
    /// In no order.
    pub subscriptions: Vec<Arc<Subscription>>,
}

/// What the directory knows of a delivery's endpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// This is it.
    Known(Arc<Endpoint>),
    /// Not known here, but it may be once the directory has read on: wait.
    Behind,
    /// It was deleted.
    Deleted,
}

impl Directory {
    /// A directory that knows nothing until [`Directory::run`] has read the topic.
    pub fn new(codec: Codec) -> Self {
        let view = View { version: DirectoryVersion::default(), status: Status::Reading };
        Self(Arc::new(Shared { codec, state: RwLock::default(), view: watch::Sender::new(view) }))
    }

    /// Reads and follows `postrider.config` until the soft shutdown; what was read can still be looked up
    /// then. Error: the topic can't be read any more.
    pub async fn run(
        self,
        kafka: KafkaConfig,
        topics: Topics,
        readiness: ReadinessHandle,
        shutdown: Shutdown,
    ) -> Result<(), String> {
        let reader = TableReader::start(&kafka, &topics.config())?;
        let codec = self.0.codec.clone();
        let followed = Follower::new(self, codec, readiness).run(reader);
        shutdown.soft.run_until_cancelled(followed).await.unwrap_or(Ok(()))
    }

    /// The endpoint, if it is known.
    pub fn endpoint(&self, id: &EndpointId) -> Option<Arc<Endpoint>> {
        self.0.state.read().book().endpoint(id).cloned()
    }

    /// What is known of the endpoint of a delivery that was matched under `matched_under` (none for a test
    /// send). It is deleted only if this directory has reached that version and does not have it.
    pub fn lookup(&self, id: &EndpointId, matched_under: Option<DirectoryVersion>) -> Lookup {
        let state = self.0.state.read();
        let book = state.book();
        if let Some(endpoint) = book.endpoint(id) {
            return Lookup::Known(endpoint.clone());
        }
        let reached = matched_under.is_some() && book.version() >= matched_under;
        if reached && state.status().is_working() && !book.is_unreadable(id) { Lookup::Deleted } else { Lookup::Behind }
    }

    /// The subscriptions that the event could match: whose tenant and type it has, and what the index knows of their
    /// filters. What else their filters ask for is not looked at.
    pub fn candidates(&self, event: &EventView<'_>) -> Candidates {
        let mut state = self.0.state.read();
        let roots = state.book().subscriptions().looks_into(event);
        if !roots.is_empty() {
            // Parsing takes the longest: whoever changes the directory need not wait for it.
            RwLockReadGuard::unlocked(&mut state, || event.parse(roots));
        }
        let book = state.book();
        Candidates {
            version: book.version().unwrap_or_default(),
            grown: book.grown().unwrap_or_default(),
            subscriptions: book.subscriptions().candidates(event),
        }
    }

    /// Why what comes for a tenant's endpoints is held at `now`, if it is.
    pub fn tenant_hold(&self, tenant: &TenantId, now: Timestamp) -> Option<HoldReason> {
        self.0.state.read().book().tenant_hold(tenant, now)
    }

    /// The event type of that name, if the catalogue has it.
    pub fn event_type(&self, name: &str) -> Option<Arc<CompiledEventType>> {
        self.0.state.read().book().event_type(name).cloned()
    }

    /// The newest version at which a subscription came or changed, as far as the topic was read.
    pub fn grown(&self) -> DirectoryVersion {
        self.0.state.read().book().grown().unwrap_or_default()
    }

    /// How far the topic was read.
    pub fn version(&self) -> DirectoryVersion {
        self.0.view.borrow().version
    }

    /// Whether it can be worked with, and why not.
    pub fn status(&self) -> Status {
        self.0.view.borrow().status
    }

    /// Whether work may be taken.
    pub fn can_work(&self) -> bool {
        self.status().is_working()
    }

    /// Waits until work may be taken. Cancel-safe.
    pub async fn wait_until_working(&self) {
        self.wait(|view| view.status.is_working()).await;
    }

    /// Waits until `version` has been read. Cancel-safe.
    pub async fn wait_for(&self, version: DirectoryVersion) {
        self.wait(|view| view.version >= version).await;
    }

    /// Waits until the version is another than `seen`. Cancel-safe.
    pub async fn changed_since(&self, seen: DirectoryVersion) {
        self.wait(|view| view.version != seen).await;
    }

    async fn wait(&self, mut until: impl FnMut(&View) -> bool) {
        // The sender lives as long as this handle.
        let _ = self.0.view.subscribe().wait_for(|view| until(view)).await;
    }

    /// Changes the state and tells those who wait. Answers the status after it.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) -> Status {
        let mut state = self.0.state.write();
        change(&mut state);
        let view = View { version: state.book().version().unwrap_or_default(), status: state.status() };
        drop(state);
        self.0.view.send_if_modified(|known| std::mem::replace(known, view) != view);
        view.status
    }

    pub(super) fn apply(&self, change: Change) -> Status {
        self.change(|state| state.apply(change))
    }

    /// How many entities there are.
    pub(super) fn live(&self) -> i64 {
        self.0.state.read().book().live()
    }

    /// Publishes `body` at the next seq.
    #[cfg(test)]
    pub(crate) fn add(&self, body: postrider_domain::ConfigBody) {
        use postrider_domain::{ConfigEntry, ConfigMarker};
        let version = DirectoryVersion { epoch: 1, seq: self.version().seq + 1 };
        let live = self.live() + i64::from(body.is_live());
        self.apply(Change::Entry(ConfigEntry { version, entity_version: version.seq, body }));
        self.apply(Change::Marker(ConfigMarker { version, live }));
        self.change(State::end_of_partition);
    }

    /// A directory at epoch 1 that has `bodies`, each at the seq of its place from 1, and works.
    #[cfg(test)]
    pub(crate) fn with(bodies: Vec<postrider_domain::ConfigBody>) -> Self {
        use postrider_domain::{ConfigEntry, ConfigMarker};
        let directory = Self::new(Codec::new());
        let version = |seq| DirectoryVersion { epoch: 1, seq };
        let live = i64::try_from(bodies.iter().filter(|body| body.is_live()).count()).unwrap();
        let last = version(i64::try_from(bodies.len()).unwrap());
        for (seq, body) in (1..).zip(bodies) {
            directory.apply(Change::Entry(ConfigEntry { version: version(seq), entity_version: seq, body }));
        }
        directory.apply(Change::Marker(ConfigMarker { version: last, live }));
        directory.change(State::end_of_partition);
        directory
    }
}

#[cfg(test)]
impl Directory {
    /// The topic lost records.
    pub(crate) fn shrink(&self) {
        self.change(State::shrunk);
    }

    /// Applies a change at `seq` of epoch 1.
    pub(crate) fn put(&self, seq: i64, body: postrider_domain::ConfigBody) {
        let version = DirectoryVersion { epoch: 1, seq };
        self.apply(Change::Entry(postrider_domain::ConfigEntry { version, entity_version: seq, body }));
    }
}

#[cfg(test)]
mod tests;
