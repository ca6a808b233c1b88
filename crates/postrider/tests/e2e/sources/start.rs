//! Where reading a source begins, and what is picked up later.

use postrider_kafka::Outgoing;
use serde_json::{Value, json};

use super::create_topic;
use crate::support::{Context, Deployment, Hook, Tenant, Test, record, tests};

pub fn tests() -> Vec<Test> {
    tests![
        what_appears_later_is_read_from_its_beginning_and_what_existed_from_where_the_source_starts,
        a_pattern_picks_up_new_topics_and_never_our_own,
        a_start_warns_that_the_brokers_forget_offsets_sooner_than_in_30_days,
    ]
}

/// New topics and partitions are looked for so often here.
const REFRESH: &str = "[kafka.properties]\n\"topic.metadata.refresh.interval.ms\" = 500\n";

fn event(topic: &str, tenant: &Tenant, data: &str) -> Outgoing {
    let value = json!({"id": data, "type": "shop.event", "tenant": tenant.id, "data": data});
    record(topic, "k", value.to_string(), &[])
}

fn sorted(hook: &Hook<'_>) -> Vec<Value> {
    let mut data = hook.data();
    data.sort_by_key(ToString::to_string);
    data
}

async fn what_appears_later_is_read_from_its_beginning_and_what_existed_from_where_the_source_starts(context: Context) {
    let mut deployment = Deployment::prepare(&context, "begin", REFRESH).await;
    // Tenant and endpoint are there before the sources are first started.
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/all", json!({})).await;
    deployment.synced().await;
    deployment.terminate().await;
    let prefix = deployment.topics.prefix().to_owned();
    let topic = |name: &str| format!("{prefix}.{name}");
    for name in ["early", "late"] {
        create_topic(&deployment, &topic(name), 1).await;
        deployment.write(&event(&topic(name), &tenant, &format!("{name} 1, before"))).await;
    }
    deployment.settings = deployment.settings.with(&format!(
        "[[sources]]\nname = \"early\"\ntopic = \"{}\"\n[[sources]]\nname = \"late\"\ntopic_pattern = '^{prefix}\\.late'\nstart = \"latest\"\n",
        topic("early")
    ));
    deployment.start_all().await;
    hook.wait_for(1).await;

    // Nothing of it was ever read and committed: it is not started for the first time again.
    deployment.terminate().await;
    deployment.write(&event(&topic("late"), &tenant, "late 2, while stopped")).await;
    create_topic(&deployment, &topic("later"), 1).await;
    deployment.write(&event(&topic("later"), &tenant, "later 1, while stopped")).await;
    deployment.start_all().await;
    hook.wait_for(3).await;

    // A topic that matches, and a partition, each with a record before anybody notices.
    create_topic(&deployment, &topic("late-too"), 1).await;
    deployment.write(&event(&topic("late-too"), &tenant, "late-too 1, before it was noticed")).await;
    let in_new = Outgoing { partition: Some(1), ..event(&topic("late"), &tenant, "late 3, in a new partition") };
    deployment.add_partitions(&topic("late"), 2, &in_new).await;
    hook.wait_for(5).await;
    let expected = [
        "early 1, before",
        "late 2, while stopped",
        "late 3, in a new partition",
        "late-too 1, before it was noticed",
        "later 1, while stopped",
    ];
    assert_eq!(sorted(&hook), expected.map(Value::from));
}

async fn a_pattern_picks_up_new_topics_and_never_our_own(context: Context) {
    let mut deployment = Deployment::prepare(&context, "pattern", REFRESH).await;
    let prefix = deployment.topics.prefix().to_owned();
    // It matches all topics of Postrider's own.
    deployment.settings =
        deployment.settings.with(&format!("[[sources]]\nname = \"shop\"\ntopic_pattern = '^{prefix}\\.'\n"));
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/all", json!({})).await;
    deployment.synced().await;
    for name in ["one", "two"] {
        let topic = format!("{prefix}.shop.{name}");
        create_topic(&deployment, &topic, 2).await;
        for number in 0..3 {
            let written = event(&topic, &tenant, &format!("{name} {number}"));
            deployment.write(&Outgoing { partition: Some(number % 2), ..written }).await;
        }
        hook.wait_for(if name == "one" { 3 } else { 6 }).await;
    }
    deployment.write(&event(&deployment.topics.events(), &tenant, "published")).await;
    hook.wait_for(7).await;
    let expected = ["one 0", "one 1", "one 2", "published", "two 0", "two 1", "two 2"];
    assert_eq!(sorted(&hook), expected.map(Value::from), "each once");
    let rejected = deployment.metric("postrider_rejected_total").await;
    assert!(rejected.is_none_or(|rejected| rejected < 1.0), "our own topics are not read: {rejected:?}");
    let lag = deployment.metric("postrider_source_lag_records").await;
    assert_eq!(lag, Some(0.0), "of both sources");
    let records = deployment.metric("postrider_source_records_total").await;
    assert_eq!(records, Some(7.0), "of both sources");
}

async fn a_start_warns_that_the_brokers_forget_offsets_sooner_than_in_30_days(context: Context) {
    // The brokers of the tests have Kafka's default.
    let mut deployment = Deployment::start(&context, "forgetful").await;
    deployment.service().says("the brokers forget after 7days").await;
}
