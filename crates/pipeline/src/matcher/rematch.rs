//! Matches a record once more, for a replay: the same code as live matching, for some of its subscriptions.

use std::sync::Arc;

use postrider_domain::{Delivery, Run, Subscription, TenantId, Timestamp};
use postrider_kafka::Record;

use super::{
    decode::{decode, traceparent},
    matching::{self, Scope},
    record::style,
    source::SourceConfig,
};
use crate::directory::Directory;

/// What a record leads to now.
#[derive(Debug)]
pub(crate) struct Rematched {
    /// When the event happened.
    pub time: Timestamp,
    /// One for each endpoint that wants the event.
    pub deliveries: Vec<Delivery>,
    /// The record's trace context.
    pub traceparent: Option<String>,
}

/// Matches `record` of `source`, by the directory as it is now, with the subscriptions in `scope`; the deliveries are
/// that `run` of their messages. None: it is no event, or not `tenant`'s. Error: why it can't be understood.
pub(crate) fn rematch(
    source: &SourceConfig,
    directory: &Directory,
    record: &Record,
    tenant: Option<&TenantId>,
    scope: Scope<'_>,
    run: &Run,
) -> Result<Option<Rematched>, String> {
    let Some(event) = decode(source, record).map_err(|rejection| rejection.message)? else { return Ok(None) };
    if tenant.is_some_and(|tenant| *tenant != event.tenant) {
        return Ok(None);
    }
    let candidates = directory.candidates(&event.tenant, &event.event_type);
    let deciding = matching::deciding(&event, candidates.subscriptions, scope);
    let mut bodies = matching::Bodies::of(&event);
    let delivery = |subscription: &Arc<Subscription>| {
        matching::delivery(&event, bodies.in_style(style(directory, subscription)), subscription, run.clone())
    };
    let deliveries = deciding.iter().map(delivery).collect();
    Ok(Some(Rematched { time: event.time, deliveries, traceparent: traceparent(&record.headers) }))
}
