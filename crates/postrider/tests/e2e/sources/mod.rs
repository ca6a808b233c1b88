//! Sources: what their topics are, where reading begins, where the parts of events are, and a look at them beforehand.

mod check;
mod fields;
mod start;

use postrider_domain::tier::Tiers;
use postrider_kafka::{TopicSpec, Topics};

use crate::support::{Deployment, Test};

pub fn tests() -> Vec<Test> {
    [check::tests(), start::tests(), fields::tests()].into_iter().flatten().collect()
}

/// Makes a topic as a user has it.
async fn create_topic(deployment: &Deployment, name: &str, partitions: i32) {
    let mut spec: TopicSpec = Topics::new("x").specs(&Tiers::default()).remove(2);
    name.clone_into(&mut spec.name);
    deployment.create_topic(spec, partitions).await;
}
