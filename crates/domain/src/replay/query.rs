//! Which dead letters and rejected records a query wants.

use crate::{
    TenantId, Timestamp,
    delivery_event::DeadLetter,
    replay::{DeadLetterQuery, RejectedQuery},
};

impl DeadLetterQuery {
    /// Whether `letter` is wanted by somebody who may see what is `tenant`'s (none: everything).
    pub fn wants(&self, tenant: Option<&TenantId>, letter: &DeadLetter) -> bool {
        let delivery = &letter.delivery;
        is_or_any(tenant, &delivery.tenant)
            && self.messages.as_ref().is_none_or(|wanted| wanted.contains(&delivery.message_id))
            && is_or_any(self.endpoint.as_ref(), &delivery.endpoint)
            && is_or_any(self.event_type.as_ref(), &delivery.event_type)
            && is_or_any(self.error.as_ref(), &letter.error)
            && is_within(letter.at, self.since, self.until)
    }
}

impl RejectedQuery {
    /// Whether a record of the source `source` that was rejected at `at` is wanted.
    pub fn wants(&self, source: &str, at: Timestamp) -> bool {
        self.source.as_ref().is_none_or(|wanted| wanted == source) && is_within(at, self.since, self.until)
    }
}

fn is_or_any<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

fn is_within(at: Timestamp, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        Delivery, DeliveryKind, EndpointId, ErrorClass, EventId, MessageId, Method, Run, SourceCoordinates,
        SubscriptionId,
    };

    fn letter() -> DeadLetter {
        DeadLetter {
            delivery: Delivery {
                message_id: MessageId::from_trusted("msg_1"),
                run: Run::LIVE,
                kind: DeliveryKind::Live,
                event_id: EventId::from_trusted("e1"),
                tenant: TenantId::from_trusted("ten_1"),
                endpoint: EndpointId::from_trusted("ep_1"),
                subscription: SubscriptionId::from_trusted("sub_1"),
                event_type: "order.created".to_owned(),
                ordering_key: None,
                source: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
                content_type: "application/json".to_owned(),
                headers: Vec::new(),
                body: Bytes::new(),
                method: Method::Post,
                path_suffix: String::new(),
            },
            attempts: 3,
            error: ErrorClass::HttpServerError,
            error_message: None,
            last_status: Some(500),
            response_excerpt: None,
            matched_at: Timestamp::from_millis(1),
            first_attempt_at: None,
            at: Timestamp::from_millis(1_000),
            traceparent: None,
        }
    }

    #[test]
    fn everything_that_is_asked_for_must_hold() {
        let any = DeadLetterQuery::default;
        let at = Timestamp::from_millis;
        let ids = |ids: &[&'static str]| Some(ids.iter().map(|id| MessageId::from_trusted(*id)).collect());
        let table = [
            (any(), true),
            (DeadLetterQuery { messages: ids(&["msg_0", "msg_1"]), ..any() }, true),
            (DeadLetterQuery { messages: ids(&[]), ..any() }, false),
            (DeadLetterQuery { endpoint: Some(EndpointId::from_trusted("ep_1")), ..any() }, true),
            (DeadLetterQuery { endpoint: Some(EndpointId::from_trusted("ep_2")), ..any() }, false),
            (DeadLetterQuery { event_type: Some("order.created".into()), ..any() }, true),
            (DeadLetterQuery { event_type: Some("order.*".into()), ..any() }, false),
            (DeadLetterQuery { error: Some(ErrorClass::HttpServerError), ..any() }, true),
            (DeadLetterQuery { error: Some(ErrorClass::Tls), ..any() }, false),
            (DeadLetterQuery { since: Some(at(1_000)), until: Some(at(1_001)), ..any() }, true),
            (DeadLetterQuery { since: Some(at(1_001)), ..any() }, false),
            (DeadLetterQuery { until: Some(at(1_000)), ..any() }, false),
            (DeadLetterQuery { messages: ids(&["msg_1"]), error: Some(ErrorClass::Tls), ..any() }, false),
        ];
        for (query, wanted) in table {
            assert_eq!(query.wants(None, &letter()), wanted, "{query:?}");
        }
    }

    #[test]
    fn what_is_another_tenants_is_never_wanted() {
        let query = DeadLetterQuery::default();
        assert!(query.wants(Some(&TenantId::from_trusted("ten_1")), &letter()));
        assert!(!query.wants(Some(&TenantId::from_trusted("ten_2")), &letter()));
    }

    #[test]
    fn rejected_records_are_wanted_by_source_and_time() {
        let query = RejectedQuery {
            source: Some("orders".to_owned()),
            since: Some(Timestamp::from_millis(5)),
            until: Some(Timestamp::from_millis(7)),
            ..RejectedQuery::default()
        };
        let wanted: Vec<_> = (4..8).filter(|at| query.wants("orders", Timestamp::from_millis(*at))).collect();
        assert_eq!(wanted, [5, 6]);
        assert!(!query.wants("invoices", Timestamp::from_millis(5)));
    }
}
