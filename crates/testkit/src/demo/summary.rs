//! The summary: what Postrider's log says, beside what was expected and what the receivers saw.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use super::delivery_log::EndpointLog;
use super::scenario::Counts;

/// What the receiver of one endpoint saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Distinct message ids.
    pub message_ids: BTreeSet<String>,
    /// Requests.
    pub requests: usize,
    /// Requests whose signature was missing or wrong.
    pub bad_signatures: usize,
    /// Milliseconds from the event's writing to its first receipt, sorted.
    pub latencies_ms: Vec<u64>,
}

/// One endpoint's line of the summary.
#[derive(Debug, Clone)]
pub struct Row {
    /// The endpoint's name.
    pub name: &'static str,
    /// What must be.
    pub expected: Counts,
    /// What Postrider says.
    pub log: EndpointLog,
    /// What the receiver says.
    pub seen: Seen,
}

impl Row {
    /// Every way in which the three disagree, in words.
    pub fn disagreements(&self) -> Vec<String> {
        let (expected, log, seen) = (&self.expected, &self.log.counts, &self.seen);
        let mut found = Vec::new();
        let mut compare = |what: &str, expected: usize, actual: usize| {
            if expected != actual {
                found.push(format!("{what}: expected {expected}, is {actual}"));
            }
        };
        compare("matched (log)", expected.matched, log.matched);
        compare("delivered (log)", expected.delivered, log.delivered);
        compare("retried (log)", expected.retried, log.retried);
        compare("dead-lettered (log)", expected.dead_lettered, log.dead_lettered);
        compare("attempts (log)", expected.requests, log.requests);
        compare("messages (receiver)", expected.matched, seen.message_ids.len());
        compare("requests (receiver)", expected.requests, seen.requests);
        compare("bad signatures (receiver)", 0, seen.bad_signatures);
        let strangers = self.log.message_ids.symmetric_difference(&seen.message_ids).count();
        compare("message ids known to only one of log and receiver", 0, strangers);
        found
    }
}

/// Prints the table and what disagrees. Answers whether everything agrees.
pub fn print_summary(rows: &[Row]) -> bool {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "endpoint",
        "matched",
        "delivered",
        "retried",
        "dead-lettered",
        "p50 ms",
        "p99 ms",
        "receiver saw",
        "agrees",
    ]);
    for row in rows {
        let counts = &row.log.counts;
        table.add_row([
            row.name.to_owned(),
            counts.matched.to_string(),
            counts.delivered.to_string(),
            counts.retried.to_string(),
            counts.dead_lettered.to_string(),
            percentile(&row.seen.latencies_ms, 50),
            percentile(&row.seen.latencies_ms, 99),
            format!("{} messages in {} requests", row.seen.message_ids.len(), row.seen.requests),
            if row.disagreements().is_empty() { "yes".to_owned() } else { "NO".to_owned() },
        ]);
    }
    for column in 1..=6 {
        let column = table.column_mut(column).expect("the table has nine columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{table}\n  p50, p99: from writing an event to Kafka to its first receipt");
    let mut agreed = true;
    for row in rows {
        for disagreement in row.disagreements() {
            println!("  ✗ {}: {disagreement}", row.name);
            agreed = false;
        }
    }
    let signatures: usize = rows.iter().map(|row| row.seen.requests - row.seen.bad_signatures).sum();
    if agreed {
        println!("  ✓ expectation, Postrider's log and the receivers agree; {signatures} signatures verified");
    }
    agreed
}

/// The value below which `percent` of the sorted values lie.
fn percentile(sorted: &[u64], percent: usize) -> String {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).map_or_else(|| "-".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let counts = Counts { matched: 1, delivered: 1, retried: 0, dead_lettered: 0, requests: 1 };
        let message_ids = BTreeSet::from(["msg_a".to_owned()]);
        Row {
            name: "healthy",
            expected: counts,
            log: EndpointLog { counts, message_ids: message_ids.clone() },
            seen: Seen { message_ids, requests: 1, bad_signatures: 0, latencies_ms: vec![3] },
        }
    }

    #[test]
    fn a_row_in_which_all_three_agree_has_nothing_to_say() {
        assert_eq!(row().disagreements(), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_disagreement_is_found() {
        let spoil: [fn(&mut Row); 5] = [
            |row| row.expected.matched = 2,
            |row| row.log.counts.dead_lettered = 1,
            |row| row.seen.requests = 2,
            |row| row.seen.bad_signatures = 1,
            |row| row.seen.message_ids = BTreeSet::from(["msg_b".to_owned()]),
        ];
        for spoil in spoil {
            let mut row = row();
            spoil(&mut row);
            assert!(!row.disagreements().is_empty(), "{row:?}");
        }
    }

    #[test]
    fn percentiles_are_of_the_values_themselves() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), ("100".to_owned(), "198".to_owned()));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), ("7".to_owned(), "-".to_owned()));
    }
}
