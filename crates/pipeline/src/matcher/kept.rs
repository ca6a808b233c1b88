//! Parsed JSON that is kept from an event's filters to its mappings, so that it is parsed once.

use std::sync::Arc;

use postrider_domain::{
    Event, Subscription,
    filter::{EventView, Parsed},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much is kept for each source: bytes of JSON, which take many times that once they are parsed.
const MAX_KEPT_BYTES: usize = 2 * 1024 * 1024;
/// The unit in which it is counted.
const UNIT_BYTES: usize = 256;

/// Where parsed JSON is kept. Nobody waits for room: what there is none for is parsed again.
#[derive(Debug)]
pub(super) struct Keep {
    /// In units.
    room: Arc<Semaphore>,
}

/// What an event's filters have parsed.
#[derive(Debug)]
pub(super) struct Kept {
    parsed: Parsed,
    _room: OwnedSemaphorePermit,
}

impl Keep {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(MAX_KEPT_BYTES / UNIT_BYTES)) }
    }

    /// Keeps what was parsed of an event, if one of those who get it has a mapping and there is room.
    pub(super) fn keep(&self, view: EventView<'_>, deciding: &[Arc<Subscription>]) -> Option<Kept> {
        if deciding.iter().all(|subscription| subscription.mapping.is_none()) {
            return None;
        }
        let (parsed, bytes) = view.into_parsed();
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok().filter(|units| *units > 0)?;
        let room = self.room.clone().try_acquire_many_owned(units).ok()?;
        Some(Kept { parsed, _room: room })
    }
}

impl Kept {
    /// The view of `event` that goes on with what was kept of it, if something was.
    pub(super) fn view(kept: Option<Self>, event: &Event) -> EventView<'_> {
        kept.map_or_else(|| EventView::new(event), |kept| EventView::with(event, kept.parsed))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postrider_domain::{
        EndpointId, EventId, SourceCoordinates, SubscriptionId, TenantId, Timestamp, filter::FieldPath,
    };

    use super::*;

    fn event(data: impl Into<Bytes>) -> Event {
        Event {
            id: EventId::from_trusted("id"),
            producer_id: None,
            source: "orders".to_owned(),
            tenant: TenantId::from_trusted("ten_1"),
            event_type: "order.created".to_owned(),
            time: Timestamp::EPOCH,
            subject: None,
            ordering_key: None,
            data: data.into(),
            previous: None,
            content_type: "application/json".to_owned(),
            coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 3 },
        }
    }

    fn deciding(mapping: Option<&str>) -> Vec<Arc<Subscription>> {
        vec![Arc::new(Subscription {
            id: SubscriptionId::from_trusted("sub_1"),
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted("ep_1"),
            event_types: vec!["*".parse().unwrap()],
            filter: None,
            mapping: mapping.map(|mapping| serde_json::from_str(mapping).unwrap()),
            created_at: Timestamp::EPOCH,
        })]
    }

    fn looked_into(event: &Event) -> EventView<'_> {
        let view = EventView::new(event);
        view.data();
        view
    }

    #[test]
    fn what_the_filters_parsed_is_not_parsed_again() {
        let (keep, total) = (Keep::new(), "data.total".parse::<FieldPath>().unwrap());
        let parsed = event(r#"{"total": 100}"#);
        let kept = keep.keep(looked_into(&parsed), &deciding(Some(r#"{"body": "$.data.total"}"#)));
        // Of these bytes no view could parse anything.
        let unreadable = event("{");
        assert_eq!(Kept::view(kept, &unreadable).field(&total).as_deref(), Some(&100.into()));
        assert_eq!(Kept::view(None, &unreadable).field(&total), None);
    }

    #[test]
    fn only_what_a_mapping_may_want_is_kept() {
        let keep = Keep::new();
        let event = event("{}");
        assert!(keep.keep(EventView::new(&event), &deciding(Some(r#"{"body": 1}"#))).is_none(), "nothing was parsed");
        assert!(keep.keep(looked_into(&event), &deciding(None)).is_none());
        assert!(keep.keep(looked_into(&event), &deciding(Some(r#"{"body": 1}"#))).is_some());
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let keep = Keep::new();
        let large = event(format!("\"{}\"", "x".repeat(MAX_KEPT_BYTES / 2)));
        let mapped = deciding(Some(r#"{"body": 1}"#));
        let first = keep.keep(looked_into(&large), &mapped);
        assert!(first.is_some() && keep.keep(looked_into(&large), &mapped).is_none());
        drop(first);
        assert!(keep.keep(looked_into(&large), &mapped).is_some());
    }
}
