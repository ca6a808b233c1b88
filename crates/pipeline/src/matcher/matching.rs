//! Which deliveries an event leads to: pure. Live matching and replays ask here alike.

use std::{collections::HashMap, sync::Arc};

use postrider_domain::{
    Delivery, DeliveryKind, EndpointId, Event, Run, Subscription, SubscriptionId,
    endpoint::BodyStyle,
    envelope::{Rendered, render},
    filter::EventView,
    message_id::message_id,
};

/// Which subscriptions may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// All of the event's tenant.
    All,
    /// Those of one endpoint.
    Endpoint(&'a EndpointId),
    /// This one.
    Subscription(&'a SubscriptionId),
}

impl Scope<'_> {
    fn has(self, subscription: &Subscription) -> bool {
        match self {
            Self::All => true,
            Self::Endpoint(endpoint) => subscription.endpoint == *endpoint,
            Self::Subscription(id) => subscription.id == *id,
        }
    }
}

/// Of the candidates in `scope` whose filter holds, the one that decides for each endpoint: the oldest. In the order
/// of the endpoints' ids. The event's JSON is parsed only if some filter looks into it.
pub(super) fn deciding(event: &Event, candidates: Vec<Arc<Subscription>>, scope: Scope<'_>) -> Vec<Arc<Subscription>> {
    let view = EventView::new(event);
    let mut by_endpoint: HashMap<EndpointId, Arc<Subscription>> = HashMap::new();
    for candidate in candidates.into_iter().filter(|candidate| scope.has(candidate)) {
        if candidate.filter.as_ref().is_some_and(|filter| !filter.matches(&view)) {
            continue;
        }
        let decides = by_endpoint.entry(candidate.endpoint.clone()).or_insert_with(|| candidate.clone());
        if (candidate.created_at, &candidate.id) < (decides.created_at, &decides.id) {
            *decides = candidate;
        }
    }
    let mut deciding: Vec<_> = by_endpoint.into_values().collect();
    deciding.sort_unstable_by(|a, b| a.endpoint.cmp(&b.endpoint));
    deciding
}

/// One event's bodies: each style is rendered once, when it is first asked for.
#[derive(Debug)]
pub(super) struct Bodies<'a> {
    event: &'a Event,
    rendered: HashMap<BodyStyle, Rendered>,
}

impl<'a> Bodies<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        Self { event, rendered: HashMap::new() }
    }

    /// The body in `style`.
    pub(super) fn in_style(&mut self, style: BodyStyle) -> &Rendered {
        self.rendered.entry(style).or_insert_with(|| render(self.event, style))
    }
}

/// The delivery of `event`, rendered as `rendered`, that `subscription` decided, as that run of its message.
pub(super) fn delivery(event: &Event, rendered: &Rendered, subscription: &Subscription, run: Run) -> Delivery {
    Delivery {
        message_id: message_id(&event.id, &subscription.endpoint),
        run,
        kind: DeliveryKind::Live,
        event_id: event.id.clone(),
        tenant: event.tenant.clone(),
        endpoint: subscription.endpoint.clone(),
        subscription: subscription.id.clone(),
        event_type: event.event_type.clone(),
        ordering_key: event.ordering_key.clone(),
        source: event.coordinates.clone(),
        content_type: rendered.content_type.clone(),
        headers: rendered.headers.clone(),
        body: rendered.body.clone(),
    }
}

#[cfg(test)]
mod tests;
