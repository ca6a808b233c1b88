//! What a record of a job's source comes to.

use std::{collections::HashSet, iter::Peekable, sync::Arc};

use bytes::Bytes;
use futures::future::try_join_all;
use postrider_domain::{
    Delivery,
    envelope::MAX_BODY_BYTES,
    replay::{Count, DeadLetterMark, TooManyMarks},
};
use postrider_kafka::{DecodeError, ProduceError, Sink};

use super::shared::Shared;
use crate::matcher::{Composed, Planned};

/// Deliveries of one record that are mapped at a time: each may have the largest body.
const MAX_MAPPED: usize = 16;

/// What a record comes to.
#[derive(Debug)]
pub(super) enum Finding {
    /// Nothing.
    Unwanted,
    /// Its bytes can't be read, for this reason, so nobody can tell whether it is wanted.
    Corrupt(String),
    /// It is wanted, and its bytes are gone or can't be understood.
    Unavailable,
    /// This job dealt with it before it was interrupted.
    Redriven,
    /// A dead letter whose event could not be mapped: to be mapped again by the mapping of now.
    Unmapped(Box<Unmapped>),
    /// These deliveries.
    Wanted(Wanted),
}

/// A dead letter that has no body, because its event could not be mapped.
#[derive(Debug)]
pub(super) struct Unmapped {
    /// The record, for people: JSON.
    pub sample: serde_json::Value,
    /// The delivery, as it is to run again.
    pub delivery: Delivery,
    pub traceparent: Option<String>,
    pub mark: DeadLetterMark,
}

/// What is to be written because of one record.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The record, for people: JSON.
    pub sample: serde_json::Value,
    pub deliveries: Vec<Planned>,
    pub traceparent: Option<String>,
    /// Written once all deliveries are acknowledged.
    pub mark: Option<DeadLetterMark>,
}

/// Why a record could not be looked at.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Its bytes can't be read, or not yet.
    Decode(DecodeError),
    /// More was dealt with than can be remembered.
    TooMany(TooManyMarks),
}

impl From<DecodeError> for Trouble {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<TooManyMarks> for Trouble {
    fn from(error: TooManyMarks) -> Self {
        Self::TooMany(error)
    }
}

impl Finding {
    /// What it counts as, if nothing has to be written for it.
    pub(super) fn count(&self) -> Count {
        match self {
            Self::Unwanted | Self::Corrupt(_) => Count::default(),
            Self::Unavailable | Self::Unmapped(_) => Count { matched: true, unavailable: true, sent: 0 },
            Self::Redriven => Count { matched: true, unavailable: false, sent: 1 },
            Self::Wanted(_) => Count { matched: true, unavailable: false, sent: 0 },
        }
    }
}

impl Wanted {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        // Deliveries of one event may share its body.
        let mut counted = HashSet::new();
        let bodies = self.deliveries.iter().map(|planned| &planned.delivery().body);
        let distinct = bodies.filter(|body| counted.insert(body.as_ptr()));
        let to_map = self.deliveries.iter().filter(|planned| matches!(planned, Planned::ToMap(_))).count();
        let mapped = to_map.min(MAX_MAPPED) * MAX_BODY_BYTES;
        distinct.map(Bytes::len).sum::<usize>() + mapped + self.deliveries.len() * 512
    }

    /// Writes the deliveries, then the mark. No group fences the mark: if the deliveries came too late to be moved to
    /// another generation, nothing is marked, and the record is dealt with again.
    pub(super) async fn hand_over<S: Sink, L>(self, shared: Arc<Shared<S, L>>) -> Result<Count, ProduceError> {
        let sent = self.deliveries.len();
        let mut planned = self.deliveries.into_iter().peekable();
        while planned.peek().is_some() {
            let deliver = |composed| shared.deliver(composed, self.traceparent.clone());
            try_join_all(next_at_once(&mut planned).into_iter().map(deliver)).await?;
        }
        if !shared.layout.was_lately_in_use().await? {
            // The stage is being stopped.
            std::future::pending::<()>().await;
        }
        if let Some(mark) = self.mark {
            shared.mark(&mark).await?;
        }
        Ok(Count { matched: true, unavailable: false, sent })
    }
}

/// The next that are written at a time, in their order.
fn next_at_once(planned: &mut Peekable<impl Iterator<Item = Planned>>) -> Vec<Composed> {
    let (mut at_once, mut mapped) = (Vec::new(), 0);
    while let Some(next) = planned.next_if(|next| mapped < MAX_MAPPED || !matches!(next, Planned::ToMap(_))) {
        mapped += usize::from(matches!(next, Planned::ToMap(_)));
        at_once.push(next.composed());
    }
    at_once
}
