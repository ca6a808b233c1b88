//! Where the live matcher began to match a subscription.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use postrider_domain::{DirectoryVersion, replay::MatchedFrom};
use postrider_kafka::{CursorEvent, ProgressRecord, Sink, StartAt};

use super::{
    logs::{LogReader as _, Logs},
    shared::Shared,
    table::decoded,
};

/// The first offset of each of `partitions` that was matched under `version`, or the first version after it that was
/// announced. Waits until the matcher has told them all: it does so within about a second, also where no events come.
pub(super) async fn began<S: Sink, L: Logs>(
    shared: Arc<Shared<S, L>>,
    source: String,
    version: DirectoryVersion,
    partitions: BTreeSet<i32>,
) -> Result<BTreeMap<i32, i64>, String> {
    let progress = shared.topics.progress();
    let reader = shared.logs.reader(&progress)?;
    let mut by_place: BTreeMap<i32, Announced> = BTreeMap::new();
    for partition in partitions {
        let place = shared.layout.partition(&progress, &MatchedFrom::place(&source, partition));
        by_place.entry(place).or_default().missing.insert(partition);
    }
    let mut began = BTreeMap::new();
    for (place, mut announced) in by_place {
        let mut cursor = reader.open(place, StartAt::Beginning);
        loop {
            match cursor.next().await {
                Some(CursorEvent::Record(record)) => {
                    let codec = shared.layout.codec();
                    let Some(value) = &record.value else { continue };
                    let decoded = decoded(codec, || ProgressRecord::decode(codec, value)).await;
                    if let Some(ProgressRecord::MatchedFrom(from)) = decoded
                        && from.source == source
                        && from.version >= version
                    {
                        announced.take(&from);
                    }
                }
                Some(CursorEvent::EndOfPartition { .. }) if announced.missing.is_empty() => break,
                Some(CursorEvent::EndOfPartition { .. } | CursorEvent::OutOfRange { .. }) => {}
                None => return Err(format!("the reader of {progress} ended")),
            }
        }
        began.extend(announced.first.into_iter().map(|(partition, (_, offset))| (partition, offset)));
    }
    Ok(began)
}

/// What was announced in one partition of the progress topic.
#[derive(Debug, Default)]
struct Announced {
    missing: BTreeSet<i32>,
    /// By partition: the lowest version, and where it began.
    first: BTreeMap<i32, (DirectoryVersion, i64)>,
}

impl Announced {
    fn take(&mut self, from: &MatchedFrom) {
        let wanted = self.missing.remove(&from.partition) || self.first.contains_key(&from.partition);
        if wanted {
            let found = (from.version, from.offset);
            // Of one version, the lower offset: whoever began there again matched everything behind it again.
            self.first.entry(from.partition).and_modify(|first| *first = found.min(*first)).or_insert(found);
        }
    }
}
