//! One index, in a process of its own, so that what an earlier one left behind in memory plays no part.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use postrider_domain::{Event, Subscription, SubscriptionId, filter::EventView, index::SubscriptionIndex};
use postrider_testkit::usage::resident_bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::workload::{Mix, Workload};

/// Subscriptions that are changed, each there and back.
const EDITS: usize = 5_000;
/// Matches of the events that are timed, in all.
const TIMED_MATCHES: usize = 200_000;
const MAX_TIMED_EVENTS: usize = 20_000;
/// Each event is timed so often; the fastest pass counts: whatever else the machine did only adds.
const PASSES: usize = 5;
/// Fewer for the hot type, whose events look at many subscriptions.
const HOT_EVENTS: usize = 50;

/// Which index.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OneOptions {
    /// What its subscriptions are like.
    #[arg(long, value_enum)]
    pub mix: Mix,
    /// How many it has.
    #[arg(long)]
    pub subscriptions: usize,
    /// How many of them an event matches.
    #[arg(long)]
    pub matches_per_event: usize,
    /// How many events are compared with a linear scan.
    #[arg(long)]
    pub compared: usize,
    /// Where the random choices begin.
    #[arg(long)]
    pub seed: u64,
}

/// What was measured of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct OneResult {
    pub build_seconds: f64,
    /// Resident memory for each subscription.
    pub bytes_each: f64,
    /// Of an event of any type but the hot one.
    pub event_micros: f64,
    pub candidates_per_event: f64,
    /// Of an event of the hot type; none if there are too few subscriptions of it.
    pub hot: Option<Hot>,
    pub edits: Edits,
    /// Events for which index and linear scan found the same.
    pub agreed: usize,
}

/// What events of the hot type cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Hot {
    pub event_micros: f64,
    pub candidates_per_event: f64,
}

/// How long edits took, in microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Edits {
    pub median: f64,
    pub p99: f64,
    pub slowest: f64,
}

/// Builds and measures an index, and prints the result.
pub fn measure_one(options: &OneOptions) -> anyhow::Result<()> {
    let OneOptions { mix, subscriptions, matches_per_event, .. } = *options;
    let workload = Workload { mix, subscriptions, matches_per_event };
    let mut rng = StdRng::seed_from_u64(options.seed);
    let resident = || resident_bytes(std::process::id());
    let (begun, before) = (Instant::now(), resident());
    let mut index = SubscriptionIndex::default();
    (0..subscriptions).for_each(|number| index.insert(workload.subscription(number, false)));
    let build_seconds = begun.elapsed().as_secs_f64();
    let bytes_each = as_f64(usize::try_from(resident().saturating_sub(before))?) / as_f64(subscriptions);
    ensure!(index.len() == subscriptions, "{} of {subscriptions} subscriptions are in the index", index.len());

    let count = MAX_TIMED_EVENTS.min(TIMED_MATCHES / matches_per_event);
    let events: Vec<Event> = std::iter::repeat_with(|| workload.event(&mut rng)).take(count).collect();
    let hot: Vec<Event> = if mix == Mix::Realistic {
        std::iter::repeat_with(|| workload.hot_event(&mut rng)).take(HOT_EVENTS).flatten().collect()
    } else {
        Vec::new()
    };
    let (event_micros, candidates_per_event) = cost(&index, &events, matches_per_event)?;
    let hot_cost = (!hot.is_empty()).then(|| cost(&index, &hot, matches_per_event)).transpose()?;
    let edits = edit(&mut index, &workload, &mut rng);
    let compared = hot.iter().take(options.compared / 20).chain(&events).take(options.compared);
    let result = OneResult {
        build_seconds,
        bytes_each,
        event_micros,
        candidates_per_event,
        hot: hot_cost.map(|(event_micros, candidates_per_event)| Hot { event_micros, candidates_per_event }),
        edits,
        agreed: agreed(&index, &workload, &compared.collect::<Vec<_>>()),
    };
    println!("{}", serde_json::to_string(&result).context("write the result")?);
    Ok(())
}

/// What one of the events costs, in microseconds, and how many candidates it has.
fn cost(index: &SubscriptionIndex, events: &[Event], matches_per_event: usize) -> anyhow::Result<(f64, f64)> {
    let mut fastest = Duration::MAX;
    let mut candidates = 0;
    for _ in 0..PASSES {
        candidates = 0;
        let mut matched = 0;
        let begun = Instant::now();
        for event in events {
            let view = EventView::new(event);
            let found = index.candidates(&view);
            candidates += found.len();
            matched += black_box(matching(found, &view)).len();
        }
        fastest = fastest.min(begun.elapsed());
        let wanted = events.len() * matches_per_event;
        ensure!(matched == wanted, "{matched} matches instead of {wanted}");
    }
    let count = as_f64(events.len());
    Ok((fastest.as_secs_f64() * 1e6 / count, as_f64(candidates) / count))
}

fn matching<S: AsRef<Subscription>>(candidates: Vec<S>, event: &EventView<'_>) -> Vec<S> {
    let holds = |it: &S| it.as_ref().filter.as_ref().is_none_or(|filter| filter.matches(event));
    candidates.into_iter().filter(|it| holds(it)).collect()
}

/// Changes subscriptions to ask for something else, and back.
fn edit(index: &mut SubscriptionIndex, workload: &Workload, rng: &mut StdRng) -> Edits {
    let mut micros = Vec::with_capacity(2 * EDITS);
    for _ in 0..EDITS {
        let number = rng.random_range(0..workload.subscriptions);
        for edited in [true, false] {
            let subscription = workload.subscription(number, edited);
            let begun = Instant::now();
            index.insert(subscription);
            micros.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    micros.sort_unstable_by(f64::total_cmp);
    let at = |per_mille: usize| micros[(micros.len() * per_mille / 1_000).min(micros.len() - 1)];
    Edits { median: at(500), p99: at(990), slowest: at(1_000) }
}

/// For how many of these events the index finds what a look at every subscription finds.
fn agreed(index: &SubscriptionIndex, workload: &Workload, events: &[&Event]) -> usize {
    if events.is_empty() {
        return 0;
    }
    let views: Vec<_> = events.iter().map(|event| EventView::new(event)).collect();
    let mut scanned = vec![Vec::new(); events.len()];
    for number in 0..workload.subscriptions {
        let subscription = workload.subscription(number, false);
        for (view, found) in views.iter().zip(&mut scanned) {
            let event = view.event();
            let is_for = subscription.tenant == event.tenant
                && subscription.event_types.iter().any(|pattern| pattern.matches(&event.event_type));
            if is_for && subscription.filter.as_ref().is_none_or(|filter| filter.matches(view)) {
                found.push(subscription.id.clone());
            }
        }
    }
    let same = |(view, mut scanned): (&EventView<'_>, Vec<SubscriptionId>)| {
        let found = matching(index.candidates(view), view);
        let mut found: Vec<_> = found.iter().map(|subscription| subscription.id.clone()).collect();
        found.sort_unstable();
        scanned.sort_unstable();
        found == scanned
    };
    views.iter().zip(scanned).map(same).filter(|same| *same).count()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
