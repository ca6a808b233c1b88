use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{super::metadata::MAX_METADATA_BYTES, *};

fn token(window: &Arc<SharedWindow>, offset: i64) -> SettleToken {
    window.track(offset).token.expect("it is not done")
}

fn fits(window: &SharedWindow) -> bool {
    window.0.lock().fits(MAX_SPAN_OFFSETS, MAX_RUNS_BYTES)
}

/// What the next owner starts with, after the last commit.
fn restarted(window: &SharedWindow) -> Arc<SharedWindow> {
    let commit = window.commit();
    let Some((offset, text)) = commit.own else { return SharedWindow::new(Start::default()) };
    assert!(text.len() <= MAX_METADATA_BYTES);
    let (metadata, done) = CommitMetadata::parse(&text, offset).unwrap();
    SharedWindow::new(Start { offset: Some(offset), done, metadata, companion: commit.companion, is_ahead: false })
}

#[test]
fn settling_out_of_order_commits_the_contiguous_prefix() {
    let window = SharedWindow::new(Start::default());
    assert_eq!(window.commit().own, None);
    let mut tokens: Vec<_> = [10, 11, 15].map(|offset| Some(token(&window, offset))).into();
    let mut settle = |i: usize| {
        tokens[i].take().unwrap().settle();
        window.prefix().unwrap()
    };
    assert_eq!(settle(1), 10);
    assert_eq!(settle(0), 15);
    assert_eq!(settle(2), 16);
    assert_eq!(window.outstanding(), 0);
}

#[test]
fn a_dropped_token_holds_the_prefix_and_a_closed_window_ignores_late_settlement() {
    let window = SharedWindow::new(Start::default());
    let (first, second) = (token(&window, 0), token(&window, 1));
    drop(first);
    second.settle();
    assert_eq!(window.prefix(), Some(0));
    let late = token(&window, 2);
    let changes = window.changes();
    window.close();
    late.settle();
    assert_eq!((window.changes(), window.outstanding()), (changes, 0));
    assert!(restarted(&window).track(2).token.is_some());
}

#[test]
fn what_was_done_and_could_not_be_committed_is_not_repeated_when_a_partition_comes_back() {
    let window = SharedWindow::new(Start { offset: Some(10), ..Start::default() });
    let mut tokens: Vec<_> = (10..20).map(|offset| Some(token(&window, offset))).collect();
    for done in [0, 1, 5] {
        tokens[done].take().unwrap().settle();
    }
    let known = window.settled();
    let start = |offset, done: &[i64]| {
        let mut runs = Runs::new();
        for offset in done {
            runs.insert(*offset..offset + 1);
        }
        Start { offset, done: runs, ..Start::default() }.knowing(&known)
    };
    let open = |start: Start| -> Vec<i64> {
        let first = start.offset.unwrap_or(10);
        let window = SharedWindow::new(start);
        (first..20).filter(|offset| window.track(*offset).token.is_some()).collect()
    };
    let start_where_it_was = start(Some(10), &[]);
    assert!(start_where_it_was.is_ahead);
    assert_eq!(SharedWindow::new(start_where_it_was.clone()).prefix(), Some(12));
    assert_eq!(open(start_where_it_was), [12, 13, 14, 16, 17, 18, 19]);
    assert_eq!(open(start(Some(10), &[13])), [12, 14, 16, 17, 18, 19], "another owner did more");
    assert_eq!(open(start(Some(14), &[])), [14, 16, 17, 18, 19], "another owner is ahead");
    assert_eq!(open(start(Some(16), &[])), [16, 17, 18, 19]);
    assert!(!start(Some(16), &[]).is_ahead);
    assert_eq!(open(start(None, &[])), (10..20).collect::<Vec<_>>(), "it may be a new topic");
}

#[test]
fn a_completion_above_the_prefix_changes_the_commit_and_so_do_a_version_and_a_companion() {
    let window = SharedWindow::new(Start::default());
    let (_first, second) = (token(&window, 0), token(&window, 1));
    let mut last = window.commit();
    second.settle();
    window.set_version(DirectoryVersion { epoch: 1, seq: 1 });
    let commit = window.commit();
    assert_eq!((commit.own.as_ref().unwrap().0, last.own.as_ref().unwrap().0), (0, 0));
    assert!(commit.change > last.change && commit.own != last.own);
    last = commit;
    window.set_version(DirectoryVersion { epoch: 1, seq: 1 });
    assert_eq!(window.commit(), last);
    window.set_companion(7);
    assert!(window.commit().change > last.change && window.commit().companion == Some(7));
}

#[test]
fn a_window_is_full_when_its_runs_no_longer_fit_or_it_spans_a_million_offsets() {
    let window = SharedWindow::new(Start::default());
    let _hanging = token(&window, 0);
    for offset in 1..2_000_000 {
        let tracked = window.track(offset);
        tracked.token.unwrap().settle();
        if !tracked.fits {
            assert_eq!(window.span(), 1_000_000);
            break;
        }
    }
    assert!(!fits(&window) && !window.fits_amply());

    let window = SharedWindow::new(Start::default());
    let mut hanging = Vec::new();
    let mut offset = 0;
    while fits(&window) {
        hanging.push(token(&window, offset));
        for done in 1..200 {
            token(&window, offset + done).settle();
        }
        offset += 200;
        window.commit();
    }
    // A gap of one byte and a length of two: about 750 of them.
    assert!((700..800).contains(&hanging.len()), "{}", hanging.len());
    let again = restarted(&window);
    assert!(fits(&again), "reading begins, whatever is done above");
    let repeated = (0..offset).filter(|offset| again.track(*offset).token.is_some()).count();
    assert!(repeated <= hanging.len() + 400, "{repeated}");
    assert!(!fits(&window));
    hanging.truncate(hanging.len() / 2);
    hanging.into_iter().for_each(SettleToken::settle);
    window.commit();
    assert!(window.fits_amply());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a naive model, a set of what is settled: random order, gaps, restarts, metadata that is cut.
    #[test]
    fn what_is_not_settled_comes_again_and_what_the_metadata_holds_does_not(
        gaps in prop::collection::vec(1_i64..4, 1..1_200),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..30_u32), 0..200),
        spread in prop_oneof![Just(1_i64), Just(50), Just(70_000)],
    ) {
        let offsets: Vec<i64> =
            gaps.iter().scan(100, |at, gap| { *at += gap * spread; Some(*at) }).collect();
        let mut settled: BTreeSet<i64> = BTreeSet::new();
        let mut window = SharedWindow::new(Start::default());
        let mut tokens: Vec<Option<SettleToken>> = offsets.iter().map(|offset| window.track(*offset).token).collect();
        for (pick, dice) in steps {
            let i = pick.index(offsets.len());
            if let Some(token) = tokens[i].take() {
                token.settle();
                settled.insert(offsets[i]);
            }
            let open = offsets.iter().find(|offset| !settled.contains(offset));
            prop_assert_eq!(window.prefix(), Some(*open.unwrap_or(&(offsets[offsets.len() - 1] + 1))));
            if dice == 0 {
                let before = window.commit();
                window.close();
                window = restarted(&window);

                prop_assert_eq!(window.prefix(), before.own.as_ref().map(|(offset, _)| *offset));
                let start = before.own.map_or(0, |(offset, _)| offset);
                tokens = offsets
                    .iter()
                    .map(|offset| (*offset >= start).then(|| window.track(*offset).token).flatten())
                    .collect();
                let again: Vec<i64> =
                    offsets.iter().zip(&tokens).filter_map(|(at, token)| token.is_some().then_some(*at)).collect();
                prop_assert!(offsets.iter().all(|at| settled.contains(at) || again.contains(at)), "nothing is lost");
                // What was cut comes again, and nothing below it does.
let repeated = again.iter().find(|at| settled.contains(at)).copied().unwrap_or(i64::MAX);
                prop_assert!(offsets.iter().all(|at| *at < repeated || again.contains(at)));
                settled.retain(|at| *at < repeated);
            }
        }
    }
}
