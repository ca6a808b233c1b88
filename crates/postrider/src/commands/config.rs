//! `postrider config`: the data plane's configuration after the database was restored from a backup.

use std::fmt::Display;

use anyhow::Context;
use postrider_control::republish::{Choice, Report, Republish};
use postrider_kafka::{Shutdown, Topics};
use serde_json::json;

use crate::{
    cli::{ConfigCommand, Output, RepublishArguments},
    config::Loaded,
    connections::{self, Kafka},
    failure::Failure,
};

const NEEDED_BY: &str = "`postrider config`";
/// Ids that are printed of one kind; JSON has them all.
const SHOWN: usize = 50;

/// Runs one of the commands below `config`.
pub async fn run(command: &ConfigCommand, loaded: &Loaded) -> Result<(), Failure> {
    let ConfigCommand::Republish(arguments) = command;
    let key_ring = loaded.key_ring(NEEDED_BY)?;
    let config = connections::kafka_config(loaded, NEEDED_BY)?;
    connections::reach_kafka(&config).await?;
    let pool = connections::postgres(loaded, NEEDED_BY).await?;
    let (topics, tiers) = (Topics::new(&loaded.config.kafka.topic_prefix), connections::tiers(&loaded.config));
    let shutdown = Shutdown::new();
    let kafka = Kafka::open(config, topics, tiers, None, &shutdown).await?;
    let republish = Republish {
        pool: &pool,
        kafka: &kafka.config,
        topics: &kafka.topics,
        codec: kafka.layout.codec(),
        key_ring: &key_ring,
    };
    let choice = Choice { bring_back: arguments.bring_back.iter().cloned().collect(), keep_keys: arguments.keep_keys };
    let done = republish.run(&choice, arguments.new_epoch).await;
    let report = done.context("nothing was changed")?;
    match arguments.output {
        Output::Json => println!("{}", as_json(&report, arguments)),
        Output::Text => show(&report, arguments),
    }
    Ok(())
}

fn show(report: &Report, arguments: &RepublishArguments) {
    let found = report.found.map_or_else(|| "empty".to_owned(), |version| format!("at version {version}"));
    let Some(epoch) = report.epoch else {
        println!("the topic is {found}, which agrees with the database: there is nothing to do");
        return;
    };
    println!("the topic is {found}, which does not agree with the database");
    list("deleted since the backup, and stays so", &report.deleted);
    list("changed since, and taken over", &report.changed);
    list("made since, and taken over (look after names and quotas)", &report.made);
    let why = if report.all_revoked { ": all, because the backup is too old to know which were" } else { "" };
    list(&format!("keys revoked{why}"), &report.revoked);
    list("brought back as it was in the backup", &report.brought_back);
    if arguments.new_epoch {
        println!("{} entities are on their way to the topic under epoch {epoch}: a relay publishes them", report.live);
    } else {
        println!(
            "nothing was changed: with --new-epoch, all {} entities are published under epoch {epoch}",
            report.live
        );
    }
}

fn list(what: &str, ids: &[impl Display]) {
    if ids.is_empty() {
        return;
    }
    println!("{what} ({}):", ids.len());
    for id in ids.iter().take(SHOWN) {
        println!("  {id}");
    }
    if ids.len() > SHOWN {
        println!("  … and {} more: --output json has them all", ids.len() - SHOWN);
    }
}

fn as_json(report: &Report, arguments: &RepublishArguments) -> String {
    let texts = |ids: &[postrider_domain::EntityId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "done": report.epoch.is_some() && arguments.new_epoch,
        "found": report.found.map(|version| version.to_string()),
        "epoch": report.epoch,
        "live": report.live,
        "deleted": texts(&report.deleted),
        "changed": texts(&report.changed),
        "made": texts(&report.made),
        "revoked": report.revoked.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "all_revoked": report.all_revoked,
        "brought_back": report.brought_back,
    })
    .to_string()
}
