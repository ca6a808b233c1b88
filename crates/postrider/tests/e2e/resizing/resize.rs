//! Resizes while events flow, endpoints hold, and processes are killed.

use std::collections::BTreeSet;

use postrider_kafka::partition_for_key;
use postrider_testkit::{Behaviour, Received, disorders, eventually};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Running, Stream, Test, postrider, tests, write_events};

pub fn tests() -> Vec<Test> {
    tests![
        a_resize_that_is_killed_and_run_again_loses_nothing_and_keeps_order,
        a_resize_that_is_given_up_leaves_everything_as_it_was,
        a_resize_names_a_killed_process_until_its_session_ends,
        a_process_that_slept_through_a_resize_loses_nothing_when_it_wakes,
    ]
}

const RESIZE: [&str; 4] = ["topics", "resize", "--partitions", "5"];

async fn a_resize_that_is_killed_and_run_again_loses_nothing_and_keeps_order(context: Context) {
    const KEYS: usize = 10;
    const HELD: usize = 200;
    let deployment = Deployment::with(&context, "resize", "[topics]\npartitions = 2").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let paused = Hook::create(&tenant, &receiver, "/paused", json!({})).await;
    tenant.pause(&paused.id).await;
    let ordering = json!({"ordering": {"on_exhausted": "block"}, "retry": {"delays_seconds": [1, 1, 1, 1, 1, 1]}});
    let ordered = Hook::create(&tenant, &receiver, "/ordered", ordering).await;
    receiver.behave("/ordered", Behaviour::Flaky(5, 500));
    // Whatever partitions these are in now, in others they will be later: two of five are not enough for all.
    let mut beside = Vec::new();
    for number in 0..3 {
        beside.push(Hook::create(&tenant, &receiver, &format!("/{number}"), json!({})).await);
    }
    deployment.synced().await;
    let stream = Stream::start_keyed(&deployment, &tenant, 30, Some(KEYS));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    eventually(LIMIT, "deliveries to be held", async || {
        (deployment.metric("postrider_held_appended_total").await? >= HELD as f64).then_some(())
    })
    .await;

    let config = deployment.settings.to_text();
    let mut first = Running::start(&RESIZE, &config);
    first.says("copying partition 1 of 2").await;
    first.kill().await;
    let (status, report) = deployment.readiness().await;
    assert_eq!(status, 503, "{report}");
    assert!(report.to_string().contains("being resized"), "{report}");
    let received = beside[0].count();
    stream.reached(stream.written() + 30, LIMIT).await;
    assert_eq!(beside[0].count(), received, "something was delivered by a process that is to stand by");
    let (code, said) = Running::start(&RESIZE, &config).ends().await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("was interrupted") && said.contains("done: "), "{said}");

    // The process goes on by itself.
    beside[0].wait_for(received + 60).await;
    assert_eq!(paused.count(), 0, "a paused endpoint was sent to");
    tenant.resume(&paused.id).await;
    let written = stream.stop().await;
    for path in ["/paused", "/0", "/1", "/2"] {
        let ledger = Ledger::settle(written, &receiver, path, LIMIT).await;
        assert_eq!(ledger.duplicates(), 0, "{path}: each once, as everything stopped in order");
    }
    taken_in_full(&ordered, written).await;
    let received = ordered.received();
    assert_eq!(disorders(received.iter().map(|request| place(request, KEYS))), [], "order of first receipts");
    let (_, said) = Running::start(&RESIZE, &config).ends().await;
    assert!(said.contains("have 5 partitions"), "{said}");
    let checked = postrider(&["topics", "check"], Some(&config), &[]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    // It stays so over a restart, with a configuration that says what it said.
    let mut deployment = deployment;
    deployment.terminate().await;
    deployment.start_all().await;
    write_events(&deployment, &tenant.at(&deployment), written..written + 20, None).await;
    for path in ["/paused", "/0", "/1", "/2"] {
        Ledger::settle(written + 20, &receiver, path, LIMIT).await;
    }
}

/// Waits until each of `written` events was taken with 200.
async fn taken_in_full(hook: &Hook<'_>, written: usize) {
    eventually(LIMIT * 2, "everything ordered to be taken", async || {
        let received = hook.received();
        let taken = received.iter().filter(|request| request.answered == Some(200));
        let taken: BTreeSet<usize> = taken.map(number).collect();
        (taken.len() == written).then_some(())
    })
    .await;
}

fn number(request: &Received) -> usize {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["data"].as_str().unwrap().parse().unwrap()
}

fn place(request: &Received, keys: usize) -> (String, u64) {
    let number = number(request);
    (format!("key {}", number % keys), number as u64)
}

async fn a_resize_that_is_given_up_leaves_everything_as_it_was(context: Context) {
    const EVENTS: usize = 50;
    let deployment = Deployment::start(&context, "give-up").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let hook = Hook::create(&tenant, &receiver, "/0", json!({})).await;
    let paused = Hook::create(&tenant, &receiver, "/paused", json!({})).await;
    tenant.pause(&paused.id).await;
    deployment.synced().await;
    write_events(&deployment, &tenant, 0..EVENTS, None).await;
    hook.wait_for(EVENTS).await;
    let config = deployment.settings.to_text();
    let mut resize = Running::start(&RESIZE, &config);
    resize.says("copying partition").await;
    resize.kill().await;
    // Whoever starts now does not begin.
    let mut late = deployment.serve(&["--roles", "api,matcher,dispatcher,retrier"]);
    late.says("being resized").await;
    write_events(&deployment, &tenant, EVENTS..EVENTS * 2, None).await;
    let other = postrider(&["topics", "resize", "--partitions", "7"], Some(&config), &[]).await;
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.one_line().contains("--partitions 5") && other.one_line().contains("--give-up"), "{other:?}");
    for expected in ["given up", "no resize is under way"] {
        let given_up = postrider(&["topics", "resize", "--give-up"], Some(&config), &[]).await;
        assert!(given_up.code == 0 && given_up.stdout.contains(expected), "{given_up:?}");
    }
    hook.wait_for(EVENTS * 2).await;
    late.ready().await;
    tenant.resume(&paused.id).await;
    for path in ["/0", "/paused"] {
        assert_eq!(Ledger::settle(EVENTS * 2, &receiver, path, LIMIT).await.duplicates(), 0, "{path}");
    }
}

async fn a_resize_names_a_killed_process_until_its_session_ends(context: Context) {
    const EVENTS: usize = 60;
    // Long enough that it is not over before the resize begins.
    let session = "[kafka.properties]\n\"session.timeout.ms\" = 15000";
    let mut deployment = Deployment::with(&context, "resize-kill", session).await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let paused = Hook::create(&tenant, &receiver, "/paused", json!({})).await;
    tenant.pause(&paused.id).await;
    deployment.synced().await;
    write_events(&deployment, &tenant, 0..EVENTS, None).await;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    eventually(LIMIT, "deliveries to be held", async || {
        (deployment.metric("postrider_held_appended_total").await? >= EVENTS as f64).then_some(())
    })
    .await;
    deployment.kill().await;
    let (code, said) = Running::start(&RESIZE, &deployment.settings.to_text()).ends().await;
    assert_eq!(code, 0, "{said}");
    let group = deployment.topics.dispatcher_group();
    assert!(said.contains("waiting: 'postrider' at 127.0.0.1") && said.contains(&group), "{said}");
    deployment.start_all().await;
    tenant.at(&deployment).resume(&paused.id).await;
    Ledger::settle(EVENTS, &receiver, "/paused", LIMIT).await;
}

async fn a_process_that_slept_through_a_resize_loses_nothing_when_it_wakes(context: Context) {
    const PARTITIONS: i32 = 3;
    let deployment = Deployment::start(&context, "resize-sleep").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let (mut hooks, mut paths, mut without) = (Vec::new(), Vec::new(), (0..PARTITIONS).collect::<BTreeSet<_>>());
    // Whichever partitions the second process gets, it has something to send.
    while !without.is_empty() {
        let path = format!("/{}", paths.len());
        let hook = Hook::create(&tenant, &receiver, &path, json!({})).await;
        without.remove(&partition_for_key(&hook.id, PARTITIONS));
        hooks.push(hook);
        paths.push(path);
    }
    deployment.synced().await;
    let stream = Stream::start(&deployment, &tenant, 30);
    hooks[0].wait_for(30).await;
    let mut second = deployment.serve(&["--roles", "api,matcher,dispatcher,retrier"]);
    second.ready().await;
    eventually(LIMIT, "the second process to send", async || {
        (second.metric("postrider_attempts_total").await? > 20.0).then_some(())
    })
    .await;
    second.process.pause().await.unwrap();
    let (code, said) = Running::start(&RESIZE, &deployment.settings.to_text()).ends().await;
    assert_eq!(code, 0, "{said}");
    hooks[0].wait_for(hooks[0].count() + 60).await;
    second.process.resume().await.unwrap();
    second.says("starting again").await;
    second.ready().await;
    hooks[0].wait_for(hooks[0].count() + 60).await;
    let written = stream.stop().await;
    for path in &paths {
        let ledger = Ledger::settle(written, &receiver, path, LIMIT).await;
        println!("slept through a resize: {path}: {written} events, {} repeated", ledger.duplicates());
        assert!(ledger.duplicates() < written / 2, "{path}: {} repeated", ledger.duplicates());
    }
    assert!(second.terminate().await.success());
}
