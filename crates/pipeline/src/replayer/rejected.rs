//! Matching rejected records again.

use postrider_domain::{
    JobId, TenantId,
    replay::{RejectedQuery, run_of},
};
use postrider_kafka::{Record, RejectedRecord};
use serde_json::json;

use super::finding::{Finding, Wanted};
use crate::{
    directory::Directory,
    matcher::{Decoder, Scope, rematch},
};

/// Matches rejected records again, by the sources as they are configured now.
#[derive(Debug)]
pub(super) struct Rejected {
    pub job: JobId,
    pub tenant: Option<TenantId>,
    pub query: RejectedQuery,
    pub sources: Vec<Decoder>,
    pub directory: Directory,
}

impl Rejected {
    /// What a record comes to, as the source understands it that it was read for. Cancel-safe. Records of Postrider's
    /// own topics, of sources that are no longer configured, records that were cut, and records that still can't be
    /// understood are unavailable.
    pub(super) async fn look(&self, record: &Record) -> Finding {
        let Some(rejected) = RejectedRecord::read(record) else { return Finding::Unwanted };
        let decoder = self.sources.iter().find(|decoder| {
            let source = decoder.source();
            rejected.source.as_ref().is_none_or(|name| *name == source.name)
                && source.topics.has(&rejected.original.topic)
        });
        let Some(decoder) = decoder else {
            let wanted = self.tenant.is_none() && self.query.wants("", record.timestamp);
            return if wanted { Finding::Unavailable } else { Finding::Unwanted };
        };
        let source = decoder.source();
        if !self.query.wants(&source.name, record.timestamp) {
            return Finding::Unwanted;
        }
        // Whose a record is that can't be understood, nobody knows: no tenant's job counts it.
        let unavailable = if self.tenant.is_none() { Finding::Unavailable } else { Finding::Unwanted };
        if rejected.truncated {
            return unavailable;
        }
        let run = run_of(&self.job, record.partition, record.offset);
        let original = &rejected.original;
        match rematch(decoder, &self.directory, original, self.tenant.as_ref(), Scope::All, &run).await {
            Err(_) => unavailable,
            Ok(Some(rematched)) if !rematched.deliveries.is_empty() => Finding::Wanted(Wanted {
                sample: json!({
                    "source": source.name,
                    "partition": rejected.original.partition,
                    "offset": rejected.original.offset,
                    "reason": rejected.reason,
                    "event_type": rematched.deliveries[0].delivery().event_type,
                    "deliveries": rematched.deliveries.len(),
                    "at": record.timestamp.to_rfc3339(),
                }),
                deliveries: rematched.deliveries,
                traceparent: rematched.traceparent,
                mark: None,
            }),
            Ok(_) => Finding::Unwanted,
        }
    }
}
