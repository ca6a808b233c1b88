//! `postrider topics resize`: from one generation of topics to the next, with another number of partitions.
//!
//! The steps, each of which can be repeated: the layout says that a resize has begun, under a generation number that no
//! attempt had before; the topics of that generation are made; everybody leaves the consumer groups; what is not done
//! is copied; the layout says that the new generation is in use. An attempt that was interrupted leaves the first and
//! perhaps more behind, and what it copied is deleted by the next.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context, anyhow};
use postrider_kafka::{
    FetchSize, LayoutEditor, NextGeneration, PartitionReader, Resize, Shutdown, StartAt, TopicSettings, TopicSpec,
    Topics, create_topics, delete_topics, dispatcher_positions, members_bound_to_generation,
};
use postrider_pipeline::resize::{Moved, Mover, Source};

use crate::{
    cli,
    config::Loaded,
    connections::{self, Kafka},
    failure::Failure,
};

/// How often it is looked who still works.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is said how far the copying has come.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Resizes, goes on with a resize that was interrupted, or gives one up.
pub async fn run(arguments: &cli::Resize, loaded: &Loaded) -> Result<(), Failure> {
    let config = connections::kafka_config(loaded, "`postrider topics resize`")?;
    connections::reach_kafka(&config).await?;
    let (topics, tiers) = (Topics::new(&loaded.config.kafka.topic_prefix), connections::tiers(&loaded.config));
    let kafka = Kafka::open(config, topics, tiers, None, &Shutdown::new()).await?;
    let settings = connections::topic_settings(&loaded.config);
    match arguments.partitions {
        Some(partitions) => resize(&kafka, partitions, settings).await?,
        None => give_up(&kafka).await?,
    }
    Ok(())
}

async fn give_up(kafka: &Kafka) -> anyhow::Result<()> {
    let (editor, before) = take_over(kafka).await?;
    if before.to.is_none() {
        println!("no resize is under way");
        return Ok(());
    }
    let after = before.given_up();
    editor.write(&after).await?;
    delete_copies(kafka, &after).await;
    println!("given up: the processes go on with the topics as they were");
    Ok(())
}

async fn resize(kafka: &Kafka, partitions: i32, settings: TopicSettings) -> anyhow::Result<()> {
    let (editor, before) = take_over(kafka).await?;
    let now = kafka.layout.partitions(&kafka.topics.deliveries());
    match before.to {
        Some(to) if to.partitions != partitions => {
            let begun = to.partitions;
            return Err(anyhow!(
                "a resize to {begun} partitions was begun: finish it with --partitions {begun}, or give it up with --give-up"
            ));
        }
        None if now == partitions => {
            println!("the topics of deliveries have {partitions} partitions");
            return Ok(());
        }
        Some(_) => println!("a resize was interrupted: beginning anew"),
        None => {}
    }
    println!("resizing from {now} to {partitions} partitions");
    let begun = before.begun(partitions);
    editor.write(&begun).await?;
    let to = begun.to.expect("it was just begun");
    delete_copies(kafka, &begun).await;
    create(kafka, to, settings).await?;
    until_all_have_stopped(kafka).await;
    let moved = copy(kafka, now, to).await?;
    editor.write(&begun.finished()).await?;
    println!("done: {moved} were copied; the processes begin again on {partitions} partitions");
    println!(
        "not used any more, and to be deleted once you miss nothing: {}",
        kafka.topics.co_partitioned().join(", ")
    );
    Ok(())
}

/// Takes over from whoever resizes; sure that what was read of the layout before still holds.
async fn take_over(kafka: &Kafka) -> anyhow::Result<(LayoutEditor, Resize)> {
    let (editor, resize) = LayoutEditor::take_over(&kafka.config, &kafka.topics).await?;
    if resize.generation != kafka.topics.generation() {
        return Err(anyhow!("another resize has just ended: run this again if it was not the one that you want"));
    }
    Ok((editor, resize))
}

/// Deletes what attempts have copied that were given up. Nobody reads it: if it can't be deleted, it only takes room.
async fn delete_copies(kafka: &Kafka, resize: &Resize) {
    let topics: Vec<String> =
        resize.abandoned().flat_map(|generation| kafka.topics.at(generation).co_partitioned()).collect();
    if let Err(error) = delete_topics(&kafka.config, &topics).await {
        println!("copies of an earlier attempt could not be deleted: {error}");
    }
}

/// Makes the topics of the next generation.
async fn create(kafka: &Kafka, to: NextGeneration, settings: TopicSettings) -> anyhow::Result<()> {
    let topics = kafka.topics.at(to.generation);
    let wanted = topics.co_partitioned();
    let specs = topics.specs(&kafka.tiers).into_iter().filter(|spec| wanted.contains(&spec.name));
    let specs: Vec<TopicSpec> = specs.collect();
    let settings = TopicSettings { partitions: to.partitions, ..settings };
    let created = create_topics(&kafka.config, &specs, settings).await?;
    match wanted.iter().find(|topic| !created.contains(topic)) {
        None => Ok(()),
        Some(topic) => Err(anyhow!(
            "the topic '{topic}' is there already, and nobody knows what is in it: run this again, which takes other names"
        )),
    }
}

/// Waits until no group that works on the generation in use has members. From there on nothing is settled in it any
/// more, whatever a process that was frozen still writes.
async fn until_all_have_stopped(kafka: &Kafka) {
    println!("waiting for the processes to stop delivering");
    let mut named = Vec::new();
    loop {
        match members_bound_to_generation(&kafka.config, &kafka.topics).await {
            Ok(members) if members.is_empty() => return,
            Ok(members) => {
                for member in members.iter().filter(|member| !named.contains(*member)) {
                    println!("waiting: {member}");
                }
                named = members;
            }
            Err(error) => println!("waiting: {error}"),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Copies every partition. Answers how much that was.
async fn copy(kafka: &Kafka, partitions: i32, to: NextGeneration) -> anyhow::Result<String> {
    let topics = &kafka.topics;
    let start = |topic: String| {
        PartitionReader::start(&kafka.config, &topic, FetchSize::Large).map_err(|reason| anyhow!("{reason}"))
    };
    let readers = [start(topics.deliveries())?, start(topics.held())?, start(topics.endpoint_state())?];
    let positions = dispatcher_positions(&kafka.config, topics, partitions).await.map_err(anyhow::Error::msg)?;
    let copies = Mover::new(kafka.patient_producer.clone(), kafka.layout.clone(), kafka.layout.moved_to(to));
    let moved = copies.moved();
    for (partition, position) in (0..partitions).zip(positions) {
        println!("copying partition {} of {partitions}", partition + 1);
        let [deliveries, held, state] = readers.each_ref().map(|reader| reader.open(partition, StartAt::Beginning));
        let copying = copies.copy(Source { deliveries, held, state, position });
        tokio::select! {
            done = copying => done.with_context(|| {
                format!("partition {partition} can't be copied, nothing is lost: run this again, or give it up with --give-up")
            })?,
            () = tell(&moved) => unreachable!("it is told until all is copied"),
        }
    }
    Ok(summary(&moved))
}

/// Says how far the copying has come, over and over.
async fn tell(moved: &Moved) {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        println!("copied so far: {}", summary(moved));
    }
}

fn summary(moved: &Moved) -> String {
    let Moved { deliveries, held, states } = moved;
    let [deliveries, held, states] = [deliveries, held, states].map(|count| count.load(Ordering::Relaxed));
    format!("{deliveries} waiting and {held} held deliveries and the state of {states} endpoints")
}
