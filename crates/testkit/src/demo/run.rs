//! The demonstration from start to verdict.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use super::delivery_log::{self, EndpointLog};
use super::dev::{DevProcess, last_lines};
use super::progress::Progress;
use super::publish::{Publisher, Written};
use super::scenario::{PARTS, SampleEvent, number_in, sample_events};
use super::setup::{Created, create_endpoints};
use super::summary::{Row, Seen, print_summary};
use crate::{ApiClient, Receiver};

/// How long after the last event everything may take to end.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);
/// How long the first event may take, while consumer groups form.
const WARM_UP_LIMIT: Duration = Duration::from_secs(15);
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
    let receiver = Receiver::start()?;
    let api = ApiClient::new(&info.api, &info.tenant_key);
    println!("Creating endpoints through the API");
    let created = create_endpoints(&api, &receiver).await?;

    let events = sample_events();
    println!("\nWriting {} events of 5 types to the topic '{}' with a Kafka client", events.len(), info.topic);
    let written = Written::default();
    let progress = Progress::on_stdout();
    let logs = tokio::select! {
        logs = write_and_settle(dev, &api, &receiver, &created, &events, &written) => logs?,
        () = progress.show(&written, &receiver) => unreachable!("progress is shown until the rest is done"),
    };
    progress.finish(&written, &receiver);

    let rows: Vec<Row> = created
        .iter()
        .zip(logs)
        .map(|(endpoint, log)| {
            let part = endpoint.part;
            let mut expected = part.expected(&events);
            if plant && part.only_country.is_some() {
                expected.matched += 1;
                expected.delivered += 1;
            }
            Row { name: part.name, expected, log, seen: seen(&receiver, &part.path(), &written) }
        })
        .collect();
    let agreed = print_summary(&rows);
    Ok((receiver, agreed))
}

/// Writes the events, then asks the API until every delivery that is expected has ended, or time is up.
async fn write_and_settle(
    dev: &mut DevProcess,
    api: &ApiClient,
    receiver: &Receiver,
    created: &[Created],
    events: &[SampleEvent],
    written: &Written,
) -> anyhow::Result<Vec<EndpointLog>> {
    let publisher = Publisher::new(dev.info())?;
    let (first, rest) = apart(events);
    publisher.publish(&[first], written).await?;
    let warmed_up = async {
        while receiver.count(&PARTS[0].path()) == 0 {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(WARM_UP_LIMIT, warmed_up).await.context("the first event was not delivered in time")?;
    publisher.publish(&rest, written).await?;
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let mut logs = Vec::new();
        for endpoint in created {
            logs.push(delivery_log::read(api, &endpoint.id).await?);
        }
        let mut expected = PARTS.iter().map(|part| part.expected(events).matched);
        let ended = logs.iter().all(|log| expected.next().is_some_and(|expected| log.ended() >= expected));
        if ended || Instant::now() > deadline {
            return Ok(logs);
        }
        anyhow::ensure!(dev.is_running(), "`postrider dev` has ended");
        tokio::time::sleep(POLL).await;
    }
}

/// An event that only the first endpoint gets, and the others. The in-process broker lets the first member of a
/// consumer group wait for 3 s; what is written meanwhile would be late by that and say nothing about Postrider.
fn apart(events: &[SampleEvent]) -> (SampleEvent, Vec<SampleEvent>) {
    let alone = |event: &&SampleEvent| PARTS[1..].iter().all(|part| part.expected(&[**event]).matched == 0);
    let first = *events.iter().find(alone).expect("some event is for the first endpoint only");
    (first, events.iter().copied().filter(|event| *event != first).collect())
}

/// What the receiver saw at `path`.
fn seen(receiver: &Receiver, path: &str, written: &Written) -> Seen {
    let requests = receiver.received(path);
    let mut seen = Seen { requests: requests.len(), bad_signatures: receiver.bad_signatures(path), ..Seen::default() };
    for request in requests {
        let first = seen.message_ids.insert(request.webhook_id().to_owned());
        let written_at = number_in(&request.body).and_then(|number| written.at(number));
        if let (true, Some(written_at)) = (first, written_at) {
            seen.latencies_ms.push(u64::try_from(request.at.since(written_at).as_millis()).unwrap_or(u64::MAX));
        }
    }
    seen.latencies_ms.sort_unstable();
    seen
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
         \n  # the tenants, as an operator\n  \
         curl -s {api}/v1/tenants -H 'Authorization: Bearer {operator_key}'\n\
         \n  # what ended in the dead-letter queue\n  \
         kcat -C -b {kafka} -t postrider.dlq -e -q -f '%k\\n' | sort | uniq -c\n\
         \n  # the log of `postrider dev`\n  tail {log}\n",
        docs = info.docs,
        api = info.api,
        key = info.tenant_key,
        operator_key = info.operator_key,
        tenant = info.tenant,
        kafka = info.kafka,
        topic = info.topic,
        failed = delivery_log::DEAD_LETTERED,
        log = dev.log().display(),
    );
    tokio::signal::ctrl_c().await.context("wait for Ctrl-C")
}
