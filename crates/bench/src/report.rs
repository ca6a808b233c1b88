//! Figures, in tables.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use crate::sink::Receipt;

/// Latencies, sorted.
#[derive(Debug, Clone)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Of these receipts.
    pub fn of<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> Self {
        let mut all: Vec<u32> = receipts.map(|receipt| receipt.latency_micros).collect();
        all.sort_unstable();
        Self(all)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency that so many per thousand stay within; zero if there are none.
    pub fn per_mille(&self, share: usize) -> Duration {
        let index = (self.0.len() * share).div_ceil(1000).saturating_sub(1);
        Duration::from_micros(self.0.get(index).copied().unwrap_or_default().into())
    }
}

/// A table with these columns; all but the first hold figures.
pub fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(columns);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> String {
    format!("{:.0} µs", duration.as_secs_f64() * 1_000_000.0)
}

/// Memory in mebibytes.
pub fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    let bytes = bytes as f64;
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// Whether a target is met, in a word.
pub fn verdict(met: bool) -> &'static str {
    if met { "ok" } else { "MISSED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let receipts: Vec<Receipt> =
            (1..=1000).rev().map(|latency_micros| Receipt { endpoint: 0, latency_micros }).collect();
        let latencies = Latencies::of(receipts.iter());
        let found = [500, 950, 990, 1000].map(|share| latencies.per_mille(share).as_micros());
        assert_eq!(found, [500, 950, 990, 1000]);
        assert_eq!(Latencies::of([].iter()).per_mille(990), Duration::ZERO);
    }
}
