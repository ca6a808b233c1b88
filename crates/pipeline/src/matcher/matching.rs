//! Which deliveries an event leads to: pure. Live matching and replays ask here alike.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use postrider_domain::{
    Delivery, DeliveryKind, EndpointId, Event, Method, Run, Subscription, SubscriptionId,
    endpoint::BodyStyle,
    envelope::{Rendered, render},
    filter::EventView,
    mapping::{Mapped, Mapping, MappingError},
    message_id::message_id,
};

/// The media type of what is mapped.
const MAPPED: &str = "application/json";

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
pub(super) fn deciding(
    event: &EventView<'_>,
    candidates: Vec<Arc<Subscription>>,
    scope: Scope<'_>,
) -> Vec<Arc<Subscription>> {
    let mut by_endpoint: HashMap<EndpointId, Arc<Subscription>> = HashMap::new();
    for candidate in candidates.into_iter().filter(|candidate| scope.has(candidate)) {
        if candidate.filter.as_ref().is_some_and(|filter| !filter.matches(event)) {
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

    /// What `subscription` sends in the style of its endpoint; nothing if its mapping makes another body of the event.
    pub(super) fn of_subscription(&mut self, subscription: &Subscription, style: BodyStyle) -> Rendered {
        if subscription.mapping.as_ref().is_some_and(Mapping::has_body) {
            return Rendered { content_type: MAPPED.to_owned(), headers: Vec::new(), body: Bytes::new() };
        }
        self.in_style(style).clone()
    }
}

/// The delivery that a subscription makes of an event.
#[derive(Debug)]
pub(crate) enum Composed {
    /// It can be sent.
    Ready(Delivery),
    /// It ends before it is sent.
    Unmapped(Unmapped),
}

/// A delivery, without a body, whose event can't be mapped.
#[derive(Debug)]
pub(crate) struct Unmapped {
    pub delivery: Delivery,
    pub error: MappingError,
}

impl Composed {
    /// The delivery, whether it can be sent or not.
    pub(crate) fn delivery(&self) -> &Delivery {
        match self {
            Self::Ready(delivery) | Self::Unmapped(Unmapped { delivery, .. }) => delivery,
        }
    }
}

/// A delivery that is to be mapped.
#[derive(Debug)]
pub(crate) struct ToMap {
    event: Arc<Event>,
    subscription: Arc<Subscription>,
    delivery: Delivery,
}

impl ToMap {
    /// The delivery of an event that `subscription` decided: see [`compose`].
    pub(super) fn new(event: Arc<Event>, rendered: Rendered, subscription: Arc<Subscription>, run: Run) -> Self {
        let delivery = delivery(&event, rendered, &subscription, run);
        Self { event, subscription, delivery }
    }

    /// The delivery, without what the mapping makes.
    pub(crate) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Maps it. Parses its event anew.
    pub(crate) fn map(self) -> Composed {
        mapped(&EventView::new(&self.event), self.delivery, &self.subscription)
    }
}

/// The delivery of an event that `subscription` decided, as that run of its message: mapped, if it has a mapping, from
/// what [`Bodies::of_subscription`] answered for it.
pub(super) fn compose(view: &EventView<'_>, rendered: Rendered, subscription: &Subscription, run: Run) -> Composed {
    mapped(view, delivery(view.event(), rendered, subscription, run), subscription)
}

fn mapped(view: &EventView<'_>, delivery: Delivery, subscription: &Subscription) -> Composed {
    let Some(mapping) = &subscription.mapping else { return Composed::Ready(delivery) };
    match mapping.render(view) {
        Ok(Mapped { body, headers, path, method }) => {
            let mut delivery = delivery;
            delivery.body = body.unwrap_or(delivery.body);
            delivery.headers.extend(headers);
            delivery.method = method.unwrap_or_default();
            delivery.path_suffix = path.unwrap_or_default();
            Composed::Ready(delivery)
        }
        Err(error) => {
            let delivery = Delivery { body: Bytes::new(), headers: Vec::new(), ..delivery };
            Composed::Unmapped(Unmapped { delivery, error })
        }
    }
}

/// The delivery of an event that `subscription` decided, as that run of its message, before it is mapped.
pub(super) fn delivery(event: &Event, rendered: Rendered, subscription: &Subscription, run: Run) -> Delivery {
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
        content_type: rendered.content_type,
        headers: rendered.headers,
        body: rendered.body,
        method: Method::Post,
        path_suffix: String::new(),
    }
}

#[cfg(test)]
mod tests;
