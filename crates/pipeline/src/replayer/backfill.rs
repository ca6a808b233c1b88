//! Delivering what came before its subscription.

use postrider_domain::{
    JobId, TenantId,
    replay::{Backfill as Wish, run_of},
};
use postrider_kafka::Record;
use serde_json::json;

use super::finding::{Finding, Wanted};
use crate::{
    directory::Directory,
    matcher::{Decoder, Planned, Scope, rematch},
};

/// Matches a source's events with one endpoint's subscriptions, or one subscription.
#[derive(Debug)]
pub(super) struct Backfill {
    pub job: JobId,
    pub tenant: Option<TenantId>,
    pub wish: Wish,
    pub source: Decoder,
    pub directory: Directory,
}

impl Backfill {
    /// What a record comes to. Cancel-safe. A record that is no event is none of a backfill's: the live matcher rejected it.
    pub(super) async fn look(&self, record: &Record) -> Finding {
        // Producers' times need not be in order.
        let early = record.timestamp < self.wish.since;
        if early || self.wish.until.is_some_and(|until| record.timestamp >= until) {
            return Finding::Unwanted;
        }
        let run = run_of(&self.job, record.partition, record.offset);
        let scope = self.wish.subscription.as_ref().map_or(Scope::Endpoint(&self.wish.endpoint), Scope::Subscription);
        let rematched = rematch(&self.source, &self.directory, record, self.tenant.as_ref(), scope, &run).await;
        let Ok(Some(rematched)) = rematched else { return Finding::Unwanted };
        let Some(delivery) = rematched.deliveries.first().map(Planned::delivery) else { return Finding::Unwanted };
        Finding::Wanted(Wanted {
            sample: json!({
                "message_id": delivery.message_id,
                "endpoint": delivery.endpoint,
                "subscription": delivery.subscription,
                "event_type": delivery.event_type,
                "partition": record.partition,
                "offset": record.offset,
                "at": rematched.time.to_rfc3339(),
            }),
            deliveries: rematched.deliveries,
            traceparent: rematched.traceparent,
            mark: None,
        })
    }
}
