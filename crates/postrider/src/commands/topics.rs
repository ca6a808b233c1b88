//! `postrider topics`: Postrider's own topics.

use anyhow::{Context, anyhow};
use postrider_domain::tier::Tiers;
use postrider_kafka::{KafkaConfig, Topics, check_topics, create_topics, topics_in_use, unused_partitions};

use super::resize;
use crate::{cli, config::Loaded, connections, failure::Failure};

/// Runs one of the commands below `topics`.
pub async fn run(command: &cli::Topics, loaded: &Loaded) -> Result<(), Failure> {
    let (topics, tiers) = (Topics::new(&loaded.config.kafka.topic_prefix), connections::tiers(&loaded.config));
    match command {
        cli::Topics::List => {
            for spec in topics.specs(&tiers) {
                println!("{}", spec.name);
            }
            return Ok(());
        }
        cli::Topics::Resize(arguments) => return resize::run(arguments, loaded).await,
        cli::Topics::Check | cli::Topics::Create => {}
    }
    let kafka = connections::kafka_config(loaded, "`postrider topics`")?;
    connections::reach_kafka(&kafka).await?;
    let topics = topics_in_use(&kafka, &topics).await.map_err(anyhow::Error::from)?;
    if matches!(command, cli::Topics::Create) {
        let created = create_topics(&kafka, &topics.specs(&tiers), connections::topic_settings(&loaded.config)).await;
        for topic in created.map_err(anyhow::Error::from)? {
            println!("created {topic}");
        }
    }
    check(&kafka, &topics, &tiers).await.map_err(Failure::from)
}

/// Prints every difference; fails if there is one that matters.
async fn check(kafka: &KafkaConfig, topics: &Topics, tiers: &Tiers) -> anyhow::Result<()> {
    let specs = topics.specs(tiers);
    let problems = check_topics(kafka, &specs).await.context("the topics can't be checked")?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        return Err(anyhow!("{} settings of topics must be changed (see above)", problems.len()));
    }
    for unused in unused_partitions(kafka, topics, tiers).await? {
        println!("{unused}");
    }
    println!("all {} topics are as they must be", specs.len());
    Ok(())
}
