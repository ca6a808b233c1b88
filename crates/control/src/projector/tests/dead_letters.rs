//! The dead-letter queue in the database, seen over the API.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{
    Delivery, DeliveryKind, EndpointId, ErrorClass, EventId, JobId, MessageId, Method, Run, SourceCoordinates,
    SubscriptionId, TenantId, Timestamp,
    delivery_event::DeadLetter,
    replay::{DeadLetterMark, Mark, run_of},
};
use postrider_kafka::{Codec, Readiness, TestPartition};
use serde_json::json;

use super::{DLQ_TOPIC, LogPolicy, Shared, own, record, shared, until};
use crate::api::tests::fixture::Fixture as Api;

/// The projector of one partition of the queue beside an API.
struct Owner {
    codec: Codec,
    shared: Arc<Shared>,
    feed: TestPartition,
}

impl Owner {
    fn beside(api: &Api) -> Self {
        let codec = Codec::new();
        let shared = shared(api.database.clone(), codec.clone(), &Readiness::new(), LogPolicy::All);
        let (feed, _task) = own(&shared, DLQ_TOPIC, 0);
        Self { codec, shared, feed }
    }

    async fn project(&self, offset: i64, value: Bytes) {
        self.feed.send(record(DLQ_TOPIC, 0, offset, Some(value))).await;
        until("it is settled", || self.feed.outstanding() == 0).await;
        assert!(!self.shared.dlq_topic.is_empty());
    }

    fn letter(&self, tenant: &str, endpoint: &str, message: &str, at: i64) -> Bytes {
        self.codec.encode(&DeadLetter {
            delivery: Delivery {
                message_id: MessageId::from_trusted(message),
                run: Run::LIVE,
                kind: DeliveryKind::Live,
                event_id: EventId::from_trusted("e1"),
                tenant: TenantId::from_trusted(tenant),
                endpoint: EndpointId::from_trusted(endpoint),
                subscription: SubscriptionId::from_trusted("sub_1"),
                event_type: "order.created".to_owned(),
                ordering_key: None,
                source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 7 },
                content_type: "application/json".to_owned(),
                headers: Vec::new(),
                body: Bytes::from_static(b"{}"),
                method: Method::Post,
                path_suffix: String::new(),
            },
            attempts: 3,
            error: ErrorClass::Timeout,
            error_message: Some("no answer\0".to_owned()),
            last_status: None,
            response_excerpt: None,
            matched_at: Timestamp::from_millis(1),
            first_attempt_at: None,
            at: Timestamp::from_millis(at),
            traceparent: None,
        })
    }

    fn mark(&self, endpoint: &str, message: &str, mark: Mark, job: Option<JobId>) -> Bytes {
        self.codec.encode(&DeadLetterMark {
            message_id: MessageId::from_trusted(message),
            run: Run::LIVE,
            endpoint: EndpointId::from_trusted(endpoint),
            mark,
            job,
            at: Timestamp::from_millis(9_000),
        })
    }
}

#[tokio::test]
async fn an_entry_is_there_once_with_the_first_that_was_done_with_it() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let owner = Owner::beside(&api);
    let (first, second) = ("msg_00000000000000000000000001", "msg_00000000000000000000000002");
    let job = JobId::from_trusted("job_01hzzzzzzzzzzzzzzzzzzzzzzz");
    owner.project(3, owner.letter(&acme.id, "ep_1", first, 5_000)).await;
    owner.project(4, owner.letter(&acme.id, "ep_1", second, 6_000)).await;
    owner.project(5, owner.mark("ep_1", first, Mark::Redriven, Some(job.clone()))).await;
    // The queue can hold an entry twice, and a mark of what it has dropped.
    owner.project(6, owner.letter(&acme.id, "ep_1", first, 5_000)).await;
    owner.project(7, owner.mark("ep_1", first, Mark::Purged, None)).await;
    owner.project(8, owner.mark("ep_2", second, Mark::Purged, None)).await;

    let seen = acme.get("/v1/dead-letters").await.body;
    let data = seen["data"].as_array().expect("a list");
    let states: Vec<_> = data.iter().map(|it| (it["message_id"].as_str(), it["state"].as_str())).collect();
    assert_eq!(states, [(Some(second), Some("open")), (Some(first), Some("redriven"))], "{seen}");
    assert_eq!(data[1]["redriven_as"], run_of(&job, 0, 3).to_string());
    assert_eq!((&data[1]["body_bytes"], &data[1]["error_message"]), (&json!(2), &json!("no answer\u{fffd}")));
}

#[tokio::test]
async fn what_the_queue_has_dropped_is_forgotten() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let owner = Owner::beside(&api);
    let (first, second) = ("msg_00000000000000000000000001", "msg_00000000000000000000000002");
    owner.project(0, owner.letter(&acme.id, "ep_1", first, 5_000)).await;
    owner.project(1, owner.letter(&acme.id, "ep_1", second, 31 * 24 * 3_600_000)).await;
    let seen = acme.get("/v1/dead-letters").await.body;
    assert_eq!(seen["data"].as_array().map(Vec::len), Some(1), "{seen}");
    assert_eq!(seen["data"][0]["message_id"], second);
}
