//! `postrider topics`: Postrider's own topics.

use anyhow::{Context, anyhow};
use postrider_kafka::{KafkaConfig, TopicSpec, Topics, check_topics, create_topics};

use crate::{cli, config::Loaded, connections, failure::Failure};

/// Runs one of the commands below `topics`.
pub async fn run(command: &cli::Topics, loaded: &Loaded) -> Result<(), Failure> {
    let specs = Topics::new(&loaded.config.kafka.topic_prefix).specs(&connections::tiers(&loaded.config));
    if matches!(command, cli::Topics::List) {
        for spec in &specs {
            println!("{}", spec.name);
        }
        return Ok(());
    }
    let kafka = connections::kafka_config(loaded, "`postrider topics`")?;
    connections::reach_kafka(&kafka).await?;
    if matches!(command, cli::Topics::Create) {
        let created = create_topics(&kafka, &specs, connections::topic_settings(&loaded.config)).await;
        for topic in created.map_err(anyhow::Error::from)? {
            println!("created {topic}");
        }
    }
    check(&kafka, &specs).await.map_err(Failure::from)
}

/// Prints every difference; fails if there is one.
async fn check(kafka: &KafkaConfig, specs: &[TopicSpec]) -> anyhow::Result<()> {
    let problems = check_topics(kafka, specs).await.context("the topics can't be checked")?;
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => {
            println!("all {} topics are as they must be", specs.len());
            Ok(())
        }
        count => Err(anyhow!("{count} settings of topics must be changed (see above)")),
    }
}
