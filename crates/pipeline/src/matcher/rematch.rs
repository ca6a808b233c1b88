//! Matches a record once more, for a replay: the same code as live matching, for some of its subscriptions.

use std::sync::Arc;

use postrider_domain::{Delivery, Run, TenantId, Timestamp, filter::EventView};
use postrider_kafka::Record;

use super::{
    avro::Decoder,
    decode::{Decoded, traceparent},
    matching::{self, Bodies, Composed, Scope, ToMap},
    record::style,
    validation::{self, Finding},
};
use crate::directory::Directory;

/// Deliveries of one record that are mapped when it is matched. Each has a body of its own: those of a record that many
/// want are mapped when they are written.
const MAX_MAPPED: usize = 4;

/// What a record leads to now.
#[derive(Debug)]
pub(crate) struct Rematched {
    /// When its (first) event happened.
    pub time: Timestamp,
    /// One for each event and each endpoint that wants it, in the order of the events.
    pub deliveries: Vec<Planned>,
    /// The record's trace context.
    pub traceparent: Option<String>,
}

/// A delivery that is to be written.
#[derive(Debug)]
pub(crate) enum Planned {
    /// As it is.
    Composed(Composed),
    /// Once it is mapped.
    ToMap(ToMap),
}

impl Planned {
    /// The delivery, mapped or not.
    pub(crate) fn delivery(&self) -> &Delivery {
        match self {
            Self::Composed(composed) => composed.delivery(),
            Self::ToMap(to_map) => to_map.delivery(),
        }
    }

    /// Maps it, unless it is mapped.
    pub(crate) fn composed(self) -> Composed {
        match self {
            Self::Composed(composed) => composed,
            Self::ToMap(to_map) => to_map.map(),
        }
    }
}

/// Matches a record, by the directory as it is now, with the subscriptions in `scope`; the deliveries are that `run` of
/// their messages. Waits while its schema can't be fetched; cancel-safe. None: it is no event, or not `tenant`'s.
/// Error: why it can't be understood.
pub(crate) async fn rematch(
    decoder: &Decoder,
    directory: &Directory,
    record: &Record,
    tenant: Option<&TenantId>,
    scope: Scope<'_>,
    run: &Run,
) -> Result<Option<Rematched>, String> {
    let Decoded { events, rejections } = decoder.decode(record).await;
    let mut refused = rejections.into_iter().next();
    let mut rematched: Option<Rematched> = None;
    let mut mapped = 0;
    let is_wanted = |owner: &TenantId| tenant.is_none_or(|tenant| tenant == owner);
    let all_wanted = events.iter().all(|event| is_wanted(&event.tenant));
    for event in events.into_iter().filter(|event| is_wanted(&event.tenant)).map(Arc::new) {
        let view = EventView::new(&event);
        if let Finding::Rejected(rejection) = validation::validate(directory, &view) {
            refused.get_or_insert(rejection);
            continue;
        }
        let mut bodies = Bodies::of(&event);
        let deciding = matching::deciding(&view, directory.candidates(&view).subscriptions, scope);
        let deliveries = deciding.into_iter().map(|subscription| {
            let rendered = bodies.of_subscription(&subscription, style(directory, &subscription));
            mapped += usize::from(subscription.mapping.is_some());
            if subscription.mapping.is_some() && mapped > MAX_MAPPED {
                Planned::ToMap(ToMap::new(event.clone(), rendered, subscription, run.clone()))
            } else {
                Planned::Composed(matching::compose(&view, rendered, &subscription, run.clone()))
            }
        });
        let rematched = rematched.get_or_insert_with(|| Rematched {
            time: event.time,
            deliveries: Vec::new(),
            traceparent: traceparent(&record.headers),
        });
        rematched.deliveries.extend(deliveries);
    }
    match refused {
        // Of a batch, those that are well-formed and fit their schemas are matched all the same.
        Some(rejection) if rematched.is_none() && all_wanted => Err(rejection.message),
        _ => Ok(rematched),
    }
}
