//! Matches a record once more, for a replay: the same code as live matching, for some of its subscriptions.

use postrider_domain::{Run, TenantId, Timestamp, filter::EventView};
use postrider_kafka::Record;

use super::{
    avro::Decoder,
    decode::{Decoded, traceparent},
    matching::{self, Bodies, Composed, Scope},
    record::style,
    validation::{self, Finding},
};
use crate::directory::Directory;

/// What a record leads to now.
#[derive(Debug)]
pub(crate) struct Rematched {
    /// When its (first) event happened.
    pub time: Timestamp,
    /// One for each event and each endpoint that wants it.
    pub deliveries: Vec<Composed>,
    /// The record's trace context.
    pub traceparent: Option<String>,
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
    let is_wanted = |owner: &TenantId| tenant.is_none_or(|tenant| tenant == owner);
    for event in events.iter().filter(|event| is_wanted(&event.tenant)) {
        let view = EventView::new(event);
        if let Finding::Rejected(rejection) = validation::validate(directory, &view) {
            refused.get_or_insert(rejection);
            continue;
        }
        let mut bodies = Bodies::of(event);
        let deciding = matching::deciding(&view, directory.candidates(&view).subscriptions, scope);
        let deliveries = deciding.iter().map(|subscription| {
            let rendered = bodies.of_subscription(subscription, style(directory, subscription));
            matching::compose(&view, rendered, subscription, run.clone())
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
        Some(rejection) if rematched.is_none() && events.iter().all(|event| is_wanted(&event.tenant)) => {
            Err(rejection.message)
        }
        _ => Ok(rematched),
    }
}
