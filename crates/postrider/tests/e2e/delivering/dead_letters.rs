//! What can't be delivered ends in the dead-letter queue, whole.

use postrider_domain::{ErrorClass, delivery_event::DeadLetter};
use postrider_kafka::Codec;
use postrider_testkit::Behaviour;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        after_the_last_attempt_a_delivery_is_in_the_dead_letter_queue,
        a_body_that_is_too_large_once_rendered_is_dead_lettered_without_it,
    ]
}

async fn after_the_last_attempt_a_delivery_is_in_the_dead_letter_queue(context: Context) {
    let deployment = Deployment::start(&context, "dlq").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let retry = json!({"retry": {"delays_seconds": [1, 1]}});
    let broken = Hook::create(&tenant, &receiver, "/broken", retry.clone()).await;
    let once = Hook::create(&tenant, &receiver, "/once", json!({"retry": {"delays_seconds": []}})).await;
    let gone = Hook::create(&tenant, &receiver, "/gone", retry).await;
    receiver.behave("/broken", Behaviour::Always(500));
    receiver.behave("/once", Behaviour::Always(404));
    receiver.behave("/gone", Behaviour::Always(410));
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!({"total": 1}))).await;
    let received = broken.wait_for(3).await;
    let dlq = deployment.read(&deployment.topics.dlq());
    let records = dlq.wait_for(3, LIMIT, |_| true).await;
    assert_eq!(records.len(), 3);
    let codec = Codec::new();
    for (hook, attempts, error, status) in [
        (&broken, 3, ErrorClass::HttpServerError, 500),
        (&once, 1, ErrorClass::HttpClientError, 404),
        (&gone, 1, ErrorClass::Gone, 410),
    ] {
        let record = records.iter().find(|record| record.key_str() == Some(&hook.id)).unwrap();
        let letter: DeadLetter = codec.decode(record.value.as_deref().unwrap()).unwrap();
        assert_eq!((letter.attempts, letter.error, letter.last_status), (attempts, error, Some(status)));
        assert_eq!(letter.delivery.message_id.as_str(), hook.message_id("1"));
        assert_eq!(letter.delivery.body, received[0].body, "the whole delivery is kept");
        assert_eq!(letter.delivery.source.topic.as_ref(), deployment.topics.events());
        assert!(letter.first_attempt_at.is_some());

        let run = tenant.delivery(&hook.message_id("1"), "failed").await;
        assert_eq!(run["delivery"]["last_error"], error.as_str());
        assert_eq!(run["delivery"]["last_status"], status);
        assert_eq!(run["attempts"].as_array().unwrap().len(), usize::try_from(attempts).unwrap());
    }
    assert_eq!((broken.count(), once.count(), gone.count()), (3, 1, 1), "no attempt after the last");
}

async fn a_body_that_is_too_large_once_rendered_is_dead_lettered_without_it(context: Context) {
    let deployment = Deployment::start(&context, "large").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({"body": "crm"})).await;
    deployment.synced().await;

    // The record is as large as one may be, and what is put around its data is larger than what was.
    let frame = event(&deployment, &tenant, "1", "order.created", &json!("")).value.unwrap().len() + "1".len();
    let text = "x".repeat((1 << 20) - frame);
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(text))).await;
    deployment.write(&event(&deployment, &tenant, "2", "order.created", &json!("2"))).await;

    let run = tenant.delivery(&hook.message_id("1"), "failed").await;
    assert_eq!(run["delivery"]["last_error"], "payload_too_large");
    let dlq = deployment.read(&deployment.topics.dlq());
    let records = dlq.wait_for(1, LIMIT, |_| true).await;
    let letter: DeadLetter = Codec::new().decode(records[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((letter.error, letter.attempts), (ErrorClass::PayloadTooLarge, 0));
    assert_eq!(letter.delivery.body.len(), 0);
    hook.wait_for(1).await;
    assert_eq!(hook.data(), [json!("2")]);
}
