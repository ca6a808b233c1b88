//! `postrider sources check`: reads a few records of each source and says what they are.

use anyhow::anyhow;
use postrider_kafka::{KafkaConfig, Topics};
use postrider_pipeline::matcher::{Inspector, SourceConfig};

use super::{
    catalogue, read,
    show::{Finding, show, summary},
};
use crate::{
    cli::{CheckSources, Sources},
    config::Loaded,
    connections,
    failure::Failure,
    roles,
};

/// Runs the command.
pub async fn run(command: &Sources, loaded: &Loaded) -> Result<(), Failure> {
    let Sources::Check(arguments) = command;
    let kafka = connections::kafka_config(loaded, "`postrider sources check`")?;
    let schemas = roles::schemas(loaded)?;
    let sources = chosen(roles::sources(&loaded.config), arguments)?;
    connections::reach_kafka(&kafka).await?;
    let topics = Topics::new(&loaded.config.kafka.topic_prefix);
    let directory = catalogue::read(&kafka, &topics).await.unwrap_or_else(|reason| {
        eprintln!("The schemas of event types are not looked at: {reason}");
        None
    });
    let mut not_understood = 0;
    for source in sources {
        let inspector = Inspector::new(source.clone(), schemas.clone(), directory.clone());
        not_understood += check(&kafka, &source, &inspector, arguments).await;
    }
    match not_understood {
        0 => Ok(()),
        1 => Err(anyhow!("1 thing would not be understood (see above)").into()),
        many => Err(anyhow!("{many} things would not be understood (see above)").into()),
    }
}

fn chosen(sources: Vec<SourceConfig>, arguments: &CheckSources) -> anyhow::Result<Vec<SourceConfig>> {
    let Some(name) = &arguments.source else { return Ok(sources) };
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let found: Vec<SourceConfig> = sources.into_iter().filter(|source| source.name == *name).collect();
    if found.is_empty() {
        let known = names.join(", ");
        return Err(anyhow!("--source: there is no source '{name}' in the configuration; there are: {known}"));
    }
    Ok(found)
}

/// Shows what one source's records are. Answers how many things are not as they should be.
async fn check(kafka: &KafkaConfig, source: &SourceConfig, inspector: &Inspector, arguments: &CheckSources) -> usize {
    let sample = match read::sample(kafka, source, usize::from(arguments.records)).await {
        Ok(sample) => sample,
        Err(problem) => {
            show(source, &[], Some(&problem), arguments.json);
            return 1;
        }
    };
    let mut findings = Vec::new();
    for record in &sample.records {
        let inspected = read::in_time(inspector.inspect(record)).await;
        findings.extend(inspected.into_iter().map(|inspected| Finding::new(record, inspected)));
    }
    show(source, &findings, sample.problem.as_deref(), arguments.json);
    if !arguments.json {
        println!("{}", summary(&sample, &findings));
    }
    findings.iter().filter(|finding| !finding.is_fine()).count() + usize::from(sample.problem.is_some())
}
