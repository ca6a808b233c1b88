//! Which run of its message a replayed delivery is.

use crate::{JobId, Run};

/// Bits of an ordinal that hold the partition: Kafka allows 2³¹ of them, clusters far fewer than 2²⁰.
const PARTITION_BITS: u32 = 20;

/// The run of what `job` makes of the record at `offset` of `partition`. A function of where the record stands and of
/// nothing else: a job that is killed and goes on makes the same run of the same record, so that what it repeats
/// is known as a repetition. (Ordinals are unique up to 2²⁰ partitions and 2⁴³ offsets; past that, runs of different
/// records may share one, which only matters if they are of the same message.)
pub fn run_of(job: &JobId, partition: i32, offset: i64) -> Run {
    Run::replay(job.clone(), (offset << PARTITION_BITS | i64::from(partition)) & i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn different_records_have_different_runs(
            places in prop::collection::btree_set((0..1_i32 << PARTITION_BITS, 0..1_i64 << 43), 1..50),
        ) {
            let job = JobId::from_trusted("job_1");
            let runs: BTreeSet<_> = places.iter().map(|(partition, offset)| run_of(&job, *partition, *offset)).collect();
            prop_assert_eq!(runs.len(), places.len());
        }
    }

    #[test]
    fn the_run_names_the_job_and_reads_back() {
        let job = JobId::from_trusted("job_01hzzzzzzzzzzzzzzzzzzzzzzz");
        let run = run_of(&job, 3, 7);
        assert_eq!(run.to_string(), format!("{job}:{}", 7 * (1 << 20) + 3));
        assert_eq!(run.to_string().parse(), Ok(run));
    }
}
