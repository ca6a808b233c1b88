//! The demonstration from start to verdict.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use postrider_domain::Timestamp;
use tokio::time::Instant;

use super::dev::{DevProcess, last_lines};
use super::log::{self, EndpointLog};
use super::progress::Progress;
use super::publish::{Written, publish};
use super::scenario::{Counts, PARTS, SampleEvent, sample_events};
use super::setup::{Created, create_endpoints};
use super::summary::{Row, print_summary};
use crate::{ApiClient, Receiver};

/// How long after the last event everything may take to end.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(250);

/// How the demonstration is run.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The `postrider` binary.
    pub program: PathBuf,
    /// Stay up afterwards, until Ctrl-C.
    pub keep: bool,
    /// Expect something wrong, to show that the verdict is a real one.
    pub plant: bool,
}

/// Runs the demonstration. Answers whether Postrider's log, the receivers and the expectation agree.
pub async fn run(options: &DemoOptions) -> anyhow::Result<bool> {
    let started = Instant::now();
    println!("Starting `postrider dev`: every role in one process, an in-process Kafka broker, a throwaway Postgres");
    let mut dev = DevProcess::start(&options.program).await?;
    let info = dev.info().clone();
    println!("  ready after {:.1} s: API {}, Kafka {}\n", started.elapsed().as_secs_f64(), info.api, info.kafka);

    let outcome = demonstrate(&mut dev, options.plant).await;
    if outcome.is_err() {
        println!("\nThe end of the log of `postrider dev`:\n{}", last_lines(dev.log()));
    }
    let (receiver, agreed) = outcome?;
    println!("\nTook {:.0} s.", started.elapsed().as_secs_f64());
    if options.keep {
        keep(&dev).await?;
    }
    dev.stop().await?;
    drop(receiver);
    Ok(agreed)
}

async fn demonstrate(dev: &mut DevProcess, plant: bool) -> anyhow::Result<(Receiver, bool)> {
    let info = dev.info().clone();
    let receiver = Receiver::start().await?;
    let api = ApiClient::new(&info.api, &info.tenant_key);
    println!("Creating endpoints through the API");
    let created = create_endpoints(&api, &receiver).await?;

    let events = sample_events();
    println!("\nWriting {} events of 5 types to the topic '{}' with a Kafka client", events.len(), info.topic);
    let written = Written::default();
    let progress = Progress::on_stdout();
    let logs = tokio::select! {
        logs = write_and_settle(dev, &api, &created, &events, &written) => logs?,
        () = progress.show(&written, &receiver) => unreachable!("progress is shown until the rest is done"),
    };
    progress.finish(&written, &receiver);

    let rows: Vec<Row> = created
        .iter()
        .zip(logs)
        .map(|(endpoint, log)| {
            let mut expected = endpoint.part.expected(&events);
            if plant && endpoint.part.only_country.is_some() {
                expected.matched += 1;
                expected.delivered += 1;
            }
            let latencies = latencies(&receiver, &endpoint.part.path(), &written);
            Row::new(endpoint.part.name, expected, &log, &receiver, &endpoint.part.path(), latencies)
        })
        .collect();
    Ok((receiver, print_summary(&rows)))
}

/// Writes the events, then asks the API until every delivery that is expected has ended, or time is up.
async fn write_and_settle(
    dev: &mut DevProcess,
    api: &ApiClient,
    created: &[Created],
    events: &[SampleEvent],
    written: &Written,
) -> anyhow::Result<Vec<EndpointLog>> {
    publish(dev.info(), events, written).await?;
    let expected: Vec<Counts> = PARTS.iter().map(|part| part.expected(events)).collect();
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let mut logs = Vec::new();
        for endpoint in created {
            logs.push(log::read(api, &endpoint.id).await?);
        }
        let ended = logs.iter().zip(&expected).all(|(log, expected)| log.ended() >= expected.matched);
        if ended || Instant::now() > deadline {
            return Ok(logs);
        }
        anyhow::ensure!(dev.is_running(), "`postrider dev` has ended");
        tokio::time::sleep(POLL).await;
    }
}

/// Milliseconds from each event's writing to its first receipt, sorted.
fn latencies(receiver: &Receiver, path: &str, written: &Written) -> Vec<u64> {
    let mut seen = std::collections::HashSet::new();
    let mut latencies: Vec<u64> = receiver
        .received(path)
        .iter()
        .filter(|received| seen.insert(received.webhook_id().to_owned()))
        .filter_map(|received| {
            let written_at: Timestamp = written.at(super::scenario::number_in(&received.body)?)?;
            u64::try_from(received.at.since(written_at).as_millis()).ok()
        })
        .collect();
    latencies.sort_unstable();
    latencies
}

async fn keep(dev: &DevProcess) -> anyhow::Result<()> {
    let info = dev.info();
    println!(
        "\nStill running, until Ctrl-C. Try:\n\
         \n  # the docs of the API\n  {docs}\n\
         \n  # the deliveries that failed for good\n  \
         curl -s '{api}/v1/deliveries?status={failed}' -H 'Authorization: Bearer {key}'\n\
         \n  # another event, by HTTP\n  \
         curl -s {api}/v1/events -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"type\":\"order.created\",\"data\":{{\"country\":\"NL\"}}}}'\n\
         \n  # another event, by a Kafka client\n  \
         echo '{{\"type\":\"order.paid\",\"tenant\":\"{tenant}\",\"data\":{{\"number\":1}}}}' | kcat -P -b {kafka} -t {topic}\n\
         \n  # what ended in the dead-letter queue\n  \
         kcat -C -b {kafka} -t postrider.dlq -e -q -f '%k\\n' | sort | uniq -c\n\
         \n  # the log of `postrider dev`\n  tail {log}\n",
        docs = info.docs,
        api = info.api,
        key = info.tenant_key,
        tenant = info.tenant,
        kafka = info.kafka,
        topic = info.topic,
        failed = log::DEAD_LETTERED,
        log = dev.log().display(),
    );
    tokio::signal::ctrl_c().await.context("wait for Ctrl-C")
}
