//! The partition counts that everything is routed by: those recorded, whatever the topics have grown to.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::LayoutError;
use crate::Topics;

/// Partition counts by topic, as recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Generation {
    pub(super) generation: u32,
    pub(super) partitions: BTreeMap<String, i32>,
}

impl Generation {
    /// As it is for the generation of `topics`, of which a resize may have said how many partitions they have.
    pub(super) fn of_generation(mut self, topics: &Topics, partitions: Option<i32>) -> Self {
        self.partitions.retain(|topic, _| !topics.is_of_another_generation(topic));
        self.generation = topics.generation();
        if let Some(partitions) = partitions {
            self.partitions.extend(topics.co_partitioned().map(|topic| (topic, partitions)));
        }
        self
    }
}

/// A topic with more partitions than are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedPartitions {
    /// The topic.
    pub topic: String,
    /// What it has.
    pub actual: i32,
    /// What is recorded: the others stay unused.
    pub recorded: i32,
}

impl fmt::Display for UnusedPartitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, actual, recorded } = self;
        write!(
            f,
            "topic '{topic}' has {actual} partitions, but {recorded} are recorded in the layout: the others stay unused"
        )
    }
}

/// The counts to route by: what is recorded, and for topics that are not, what they have, but that the co-partitioned
/// ones get the same count. Beside it, the topics that have more.
pub(super) fn reconcile(
    recorded: Option<&Generation>,
    actual: &HashMap<String, i32>,
    topics: &Topics,
) -> Result<(Generation, Vec<UnusedPartitions>), LayoutError> {
    let mut generation = recorded.cloned().unwrap_or_default();
    generation.generation = topics.generation();
    for (topic, recorded) in &generation.partitions {
        let actual = actual.get(topic).copied().unwrap_or(0);
        if actual < *recorded {
            return Err(LayoutError::Shrunk { topic: topic.clone(), actual, recorded: *recorded });
        }
    }
    make_even(&mut generation, actual, topics)?;
    for (topic, partitions) in actual {
        generation.partitions.entry(topic.clone()).or_insert(*partitions);
    }
    let unused = generation.partitions.iter().filter_map(|(topic, &recorded)| {
        let actual = *actual.get(topic)?;
        (actual > recorded).then(|| UnusedPartitions { topic: topic.clone(), actual, recorded })
    });
    let unused = unused.collect();
    Ok((generation, unused))
}

/// Records for the co-partitioned topics what the first of them has.
fn make_even(generation: &mut Generation, actual: &HashMap<String, i32>, topics: &Topics) -> Result<(), LayoutError> {
    let [first, others @ ..] = topics.co_partitioned();
    let count = |topic: &str| generation.partitions.get(topic).or_else(|| actual.get(topic)).copied();
    let Some(expected) = count(&first) else { return Ok(()) };
    for topic in others {
        let uneven = |actual, what_to_do| {
            let (topic, like) = (topic.clone(), first.clone());
            Err(LayoutError::Uneven { topic, actual, like, expected, what_to_do })
        };
        match (generation.partitions.get(&topic), actual.get(&topic)) {
            (Some(&recorded), _) if recorded != expected => {
                return uneven(recorded, "so it was recorded; restore the layout topic");
            }
            (None, Some(&actual)) if actual < expected => {
                return uneven(actual, "add partitions to it, as nothing has been written to it yet");
            }
            (None, Some(_)) => {
                generation.partitions.insert(topic, expected);
            }
            (Some(_), _) | (None, None) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<T: FromIterator<(String, i32)>>(counts: &[(&str, i32)]) -> T {
        counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn generation(partitions: &[(&str, i32)]) -> Generation {
        Generation { generation: 0, partitions: counts(partitions) }
    }

    fn topics() -> Topics {
        Topics::new("p")
    }

    #[test]
    fn what_is_recorded_wins_over_partitions_added_by_hand_and_they_are_reported() {
        let recorded = generation(&[("a", 3)]);
        let (reconciled, unused) = reconcile(Some(&recorded), &counts(&[("a", 5), ("b", 2)]), &topics()).unwrap();
        assert_eq!(reconciled.partitions, counts(&[("a", 3), ("b", 2)]));
        let said: Vec<String> = unused.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["topic 'a' has 5 partitions, but 3 are recorded in the layout: the others stay unused"]);
    }

    #[test]
    fn fewer_partitions_than_recorded_stop_the_start() {
        let recorded = generation(&[("a", 3)]);
        for actual in [counts(&[("a", 2)]), counts(&[])] {
            let stopped = reconcile(Some(&recorded), &actual, &topics());
            assert!(matches!(stopped, Err(LayoutError::Shrunk { recorded: 3, .. })));
        }
    }

    #[test]
    fn topics_that_come_later_get_the_count_of_the_deliveries() {
        let recorded = generation(&[("p.deliveries", 6)]);
        let actual = counts(&[("p.deliveries", 8), ("p.held", 12), ("p.endpoint-state", 6)]);
        let (reconciled, unused) = reconcile(Some(&recorded), &actual, &topics()).unwrap();
        let even = counts(&[("p.deliveries", 6), ("p.held", 6), ("p.endpoint-state", 6)]);
        assert_eq!(reconciled.partitions, even);
        assert_eq!(unused.len(), 2, "deliveries and held have more: {unused:?}");
    }

    #[test]
    fn after_a_resize_only_the_generation_in_use_counts_and_has_what_the_resize_says() {
        let resized = topics().at(2);
        let recorded = generation(&[("p.deliveries", 2), ("p.held", 2), ("p.endpoint-state", 2), ("p.dlq", 3)]);
        let recorded = recorded.of_generation(&resized, Some(5));
        let actual = [("p.deliveries.g2", 7), ("p.held.g2", 5), ("p.endpoint-state.g2", 5), ("p.dlq", 3)];
        let (reconciled, unused) = reconcile(Some(&recorded), &counts(&actual), &resized).unwrap();
        assert_eq!(reconciled.generation, 2);
        let wanted = [("p.deliveries.g2", 5), ("p.held.g2", 5), ("p.endpoint-state.g2", 5), ("p.dlq", 3)];
        assert_eq!(reconciled.partitions, counts(&wanted));
        assert_eq!(unused.len(), 1, "partitions added by hand stay unused: {unused:?}");
    }

    #[test]
    fn an_endpoint_can_not_have_different_homes() {
        let too_few = counts(&[("p.deliveries", 6), ("p.held", 6), ("p.endpoint-state", 3)]);
        let said = reconcile(None, &too_few, &topics()).unwrap_err().to_string();
        assert_eq!(
            said,
            "topic 'p.endpoint-state' has 3 partitions, but 'p.deliveries' has 6 and both must have the same: \
             add partitions to it, as nothing has been written to it yet"
        );
        let recorded = generation(&[("p.deliveries", 6), ("p.held", 5)]);
        let actual = counts(&[("p.deliveries", 6), ("p.held", 6)]);
        let stopped = reconcile(Some(&recorded), &actual, &topics());
        assert!(matches!(stopped, Err(LayoutError::Uneven { actual: 5, expected: 6, .. })));
    }
}
