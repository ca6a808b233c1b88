//! What a job reads: its topic, its ranges, and what it looks for there.

use std::collections::BTreeMap;

use postrider_domain::replay::{Backfill as BackfillWish, Marks, OffsetRange, ReplaySource};
use postrider_kafka::{Sink, StartAt};

use super::{
    backfill::Backfill,
    dead_letters::DeadLetters,
    job::{Halt, Run},
    logs::{LogReader as _, Logs},
    matched_from,
    reading::Reading,
    rejected::Rejected,
};
use crate::matcher::SourceConfig;

impl<S: Sink, L: Logs> Run<S, L> {
    /// The topic that the job reads.
    pub(super) fn topic(&self) -> Result<String, Halt> {
        match &self.job.source {
            ReplaySource::DeadLetters(_) => Ok(self.shared.topics.dlq()),
            ReplaySource::Rejected(_) => Ok(self.shared.topics.rejected()),
            ReplaySource::Backfill(backfill) => Ok(self.source(&backfill.source)?.1),
        }
    }

    /// The source and the topic that a backfill is of.
    fn source(&self, reference: &str) -> Result<(&SourceConfig, String), Halt> {
        SourceConfig::find(&self.shared.sources, reference).ok_or_else(|| {
            Halt::Failed(format!("there is no source '{reference}' in the configuration of the process that replays"))
        })
    }

    /// What the job looks for in a partition of which `range` is wanted.
    pub(super) async fn reading(
        &mut self,
        reader: &L::Reader,
        partition: i32,
        range: OffsetRange,
    ) -> Result<Reading, Halt> {
        let (job, tenant) = (self.job.id.clone(), self.job.tenant.clone());
        let directory = self.shared.directory.clone();
        Ok(match self.job.source.clone() {
            ReplaySource::DeadLetters(query) => {
                let (codec, marks) = (self.shared.layout.codec().clone(), Marks::new(job.clone()));
                let mut letters = DeadLetters { job, tenant, query, codec, marks };
                // A mark stands behind its entry, in the same partition.
                let mut cursor = reader.open(partition, StartAt::Offset(range.from));
                self.wait("the marks to be read", letters.read_marks(&mut cursor)).await??;
                Reading::DeadLetters(Box::new(letters))
            }
            ReplaySource::Rejected(query) => {
                let sources = self.shared.sources.iter().map(|source| self.shared.decoder(source)).collect();
                Reading::Rejected(Box::new(Rejected { job, tenant, query, sources, directory }))
            }
            ReplaySource::Backfill(wish) => {
                let source = self.shared.decoder(self.source(&wish.source)?.0);
                Reading::Backfill(Box::new(Backfill { job, tenant, wish, source, directory }))
            }
        })
    }

    /// The ranges of a backfill, once this process knows what is backfilled. Those for a subscription end where the
    /// live matcher began to match it.
    pub(super) async fn backfill_ranges(
        &mut self,
        backfill: &BackfillWish,
        mut ranges: BTreeMap<i32, OffsetRange>,
    ) -> Result<BTreeMap<i32, OffsetRange>, Halt> {
        let (directory, version) = (self.shared.directory.clone(), backfill.version);
        let known = async move { directory.wait_for(version).await };
        self.wait("the directory to know what is backfilled", known).await?;
        if backfill.subscription.is_none() {
            return Ok(ranges);
        }
        let partitions = ranges.keys().copied().collect();
        let began = matched_from::began(self.shared.clone(), backfill.source.clone(), version, partitions);
        let what =
            format!("the matcher of source '{}' to say from where on it matches the subscription", backfill.source);
        let began = self.wait(&what, began).await??;
        for (partition, range) in &mut ranges {
            let end = began.get(partition).copied().unwrap_or(range.from);
            range.to = range.to.min(end).max(range.from);
        }
        Ok(ranges)
    }
}
