use std::{pin::pin, time::Duration};

use futures::FutureExt as _;
use postrider_domain::tier::Tiers;
use postrider_kafka::{Layout, ProduceError, Readiness, Resize, Shutdown, Topics};

use crate::{resize::stand_by, stage::StageError};

const DRAIN: Duration = Duration::from_secs(10);

fn layout() -> Layout {
    Layout::for_test(&Topics::new("t"), &Tiers::default(), 2)
}

#[tokio::test(start_paused = true)]
async fn a_stage_stops_in_order_when_a_resize_begins_and_waits_for_the_process_to_stop() {
    let (layout, readiness, process) = (layout(), Readiness::new(), Shutdown::new());
    let stage = async |shutdown: Shutdown| {
        shutdown.soft.cancelled().await;
        assert!(!shutdown.hard.is_cancelled());
        Ok(())
    };
    let mut running = pin!(stand_by("it", layout.clone(), readiness.clone(), process.clone(), DRAIN, stage));
    assert!(running.as_mut().now_or_never().is_none() && readiness.is_ready());
    layout.say_for_test(Resize::default().begun(5));
    assert!(running.as_mut().now_or_never().is_none() && !readiness.is_ready(), "{:?}", readiness.report());
    // Also once it is over: the process begins anew.
    layout.say_for_test(Resize::default().begun(5).finished());
    assert!(running.as_mut().now_or_never().is_none());
    assert!(!process.soft.is_cancelled());
    process.soft.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stop_within_its_drain_is_told_to_abandon() {
    let (layout, process) = (layout(), Shutdown::new());
    process.soft.cancel();
    layout.say_for_test(Resize::default());
    let begun = tokio::time::Instant::now();
    let stage = async |shutdown: Shutdown| {
        shutdown.hard.cancelled().await;
        Ok(())
    };
    let running = stand_by("it", layout.clone(), Readiness::new(), process, DRAIN, stage);
    let resize = async { layout.say_for_test(Resize::default().begun(5)) };
    let (ended, ()) = tokio::join!(running, resize);
    ended.unwrap();
    assert_eq!(begun.elapsed(), DRAIN);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_while_a_resize_is_under_way() {
    let (layout, process) = (layout(), Shutdown::new());
    layout.say_for_test(Resize::default().begun(5));
    let stage = async |_| panic!("it was begun");
    let mut running = pin!(stand_by("it", layout, Readiness::new(), process.clone(), DRAIN, stage));
    assert!(running.as_mut().now_or_never().is_none());
    process.soft.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_fails_also_while_it_stops() {
    for begun in [false, true] {
        let layout = layout();
        let stage = async |shutdown: Shutdown| {
            if begun {
                layout.say_for_test(Resize::default().begun(5));
                shutdown.soft.cancelled().await;
            }
            let (topic, reason) = (String::new(), String::new());
            Err(StageError::Produce(ProduceError::Fatal { topic, reason }))
        };
        stand_by("it", layout.clone(), Readiness::new(), Shutdown::new(), DRAIN, stage).await.unwrap_err();
    }
}
