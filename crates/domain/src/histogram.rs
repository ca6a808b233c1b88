//! How many of many numbers are how large, in little room, so that what was counted apart can be added up: percentiles
//! of a month are those of its days' histograms, merged.
//!
//! Buckets grow with what is in them, as in an HDR histogram: 32 for each power of two, so that a percentile is at most
//! 1.6 % beside the truth, and numbers below 64 are exact. Count, sum and greatest are always exact.

/// Bits of a number that its bucket keeps, below the highest.
const PRECISION_BITS: u32 = 5;
/// Buckets for each power of two.
const PER_OCTAVE: u16 = 1 << PRECISION_BITS;
/// The greatest bucket: that of the greatest number.
const LAST_BUCKET: u16 = (63 - 5) * PER_OCTAVE + 63;
/// What stored bytes begin with.
const FORMAT: u8 = 1;

/// Counts by size. Merging is addition: in any order, in any grouping, with the same result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Buckets that have something in them, in their order.
    buckets: Vec<(u16, u64)>,
    sum: u64,
    max: u64,
}

/// Bytes that are no histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a histogram of a known format")]
pub struct InvalidHistogram;

impl Histogram {
    /// Counts `value` once.
    pub fn record(&mut self, value: u64) {
        let bucket = bucket(value);
        match self.buckets.binary_search_by_key(&bucket, |(of, _)| *of) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (bucket, 1)),
        }
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        let mut own = std::mem::take(&mut self.buckets).into_iter().peekable();
        self.buckets.reserve(own.len().max(other.buckets.len()));
        for (bucket, count) in &other.buckets {
            while let Some(before) = own.next_if(|(of, _)| of < bucket) {
                self.buckets.push(before);
            }
            let same = own.next_if(|(of, _)| of == bucket).map_or(0, |(_, count)| count);
            self.buckets.push((*bucket, same.saturating_add(*count)));
        }
        self.buckets.extend(own);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The sum of all.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The greatest; zero if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The number that `per_mille` thousandths of all are not above, by nearest rank; none if nothing was counted.
    pub fn percentile(&self, per_mille: u64) -> Option<u64> {
        let count = u128::from(self.count());
        if count == 0 {
            return None;
        }
        let rank = (count * u128::from(per_mille.min(1_000))).div_ceil(1_000).max(1);
        let mut seen = 0_u128;
        for (bucket, count) in &self.buckets {
            seen += u128::from(*count);
            if seen >= rank {
                let (lowest, highest) = bounds(*bucket);
                return Some((lowest + (highest - lowest) / 2).min(self.max));
            }
        }
        Some(self.max)
    }

    /// How many are not above `limit`; what shares a bucket with it counts by its place in the bucket.
    pub fn count_within(&self, limit: u64) -> u64 {
        if limit >= self.max {
            return self.count();
        }
        let mut within = 0_u64;
        for (bucket, count) in &self.buckets {
            let (lowest, highest) = bounds(*bucket);
            if highest <= limit {
                within = within.saturating_add(*count);
            } else if lowest <= limit {
                let (share, width) = (u128::from(limit - lowest) + 1, u128::from(highest - lowest) + 1);
                within = within.saturating_add(u64::try_from(u128::from(*count) * share / width).unwrap_or(*count));
            }
        }
        within
    }

    /// As stored: two bytes or so for each bucket that has something in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        put(&mut bytes, self.sum);
        put(&mut bytes, self.max);
        let mut before = 0;
        for (bucket, count) in &self.buckets {
            put(&mut bytes, u64::from(bucket - before));
            put(&mut bytes, *count);
            before = *bucket;
        }
        bytes
    }

    /// What [`Self::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidHistogram> {
        let Some((&FORMAT, mut rest)) = bytes.split_first() else { return Err(InvalidHistogram) };
        let (sum, max) = (take(&mut rest)?, take(&mut rest)?);
        // Two bytes each, or more.
        let (mut buckets, mut before) = (Vec::with_capacity(rest.len() / 2), 0_u16);
        while !rest.is_empty() {
            let step = u16::try_from(take(&mut rest)?).map_err(|_| InvalidHistogram)?;
            let bucket = before.checked_add(step).filter(|bucket| *bucket <= LAST_BUCKET).ok_or(InvalidHistogram)?;
            if step == 0 && !buckets.is_empty() {
                return Err(InvalidHistogram);
            }
            buckets.push((bucket, take(&mut rest)?));
            before = bucket;
        }
        Ok(Self { buckets, sum, max })
    }
}

/// The bucket of a number.
fn bucket(value: u64) -> u16 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    let kept = value >> shift;
    // At most 58 octaves above the first, and 63.
    u16::try_from(u64::from(shift) * u64::from(PER_OCTAVE) + kept).unwrap_or(LAST_BUCKET)
}

/// The lowest and the highest number of a bucket.
fn bounds(bucket: u16) -> (u64, u64) {
    if bucket < 2 * PER_OCTAVE {
        return (u64::from(bucket), u64::from(bucket));
    }
    let shift = bucket / PER_OCTAVE - 1;
    let lowest = u64::from(bucket % PER_OCTAVE + PER_OCTAVE) << shift;
    (lowest, lowest + ((1 << shift) - 1))
}

/// Appends a number, seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(0x80 | u8::try_from(value & 0x7f).expect("seven bits"));
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
}

/// Takes a number that [`put`] appended.
fn take(bytes: &mut &[u8]) -> Result<u64, InvalidHistogram> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(InvalidHistogram)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return Err(InvalidHistogram);
        }
        value |= part << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(InvalidHistogram)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    #[test]
    fn small_numbers_are_exact_and_an_empty_histogram_has_no_percentile() {
        let histogram = of(&[7, 1, 63, 0, 7]);
        assert_eq!((histogram.count(), histogram.sum(), histogram.max()), (5, 78, 63));
        assert_eq!([0, 200, 500, 990, 1_000].map(|rank| histogram.percentile(rank)), [0, 0, 7, 63, 63].map(Some));
        assert_eq!([0, 6, 7, 62, 63, 99].map(|limit| histogram.count_within(limit)), [1, 2, 4, 4, 5, 5]);
        assert_eq!(Histogram::default().percentile(500), None);
        assert_eq!(Histogram::default().count_within(u64::MAX), 0);
    }

    #[test]
    fn buckets_follow_each_other_without_gap_or_overlap_up_to_the_greatest_number() {
        let mut next = 0_u64;
        for bucket_number in 0..=LAST_BUCKET {
            let (lowest, highest) = bounds(bucket_number);
            assert_eq!(lowest, next, "{bucket_number}");
            assert_eq!((bucket(lowest), bucket(highest)), (bucket_number, bucket_number));
            next = highest.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends with the greatest number");
    }

    #[test]
    fn what_is_stored_stays_readable() {
        let bytes = of(&[0, 64, 64, 1_000_000]).to_bytes();
        assert_eq!(hex::encode(&bytes), "01c0853dc0843d00014002bd0301");
        assert_eq!(Histogram::from_bytes(&bytes), Ok(of(&[0, 64, 64, 1_000_000])));
    }

    #[test]
    fn bytes_that_are_no_histogram_are_refused() {
        for hex_text in
            ["", "02", "01", "0100", "010080", "0100000001 0001", "010000ff7f01", "01ffffffffffffffffff7f00"]
        {
            let bytes = hex::decode(hex_text.replace(' ', "")).unwrap();
            assert_eq!(Histogram::from_bytes(&bytes), Err(InvalidHistogram), "{hex_text}");
        }
    }

    proptest! {
        #[test]
        fn percentiles_are_close_to_the_truth(mut values in prop::collection::vec(0..u64::MAX >> 8, 1..200), rank in 0_u64..=1_000) {
            let histogram = of(&values);
            values.sort_unstable();
            let index = (values.len() as u64 * rank).div_ceil(1_000).max(1) - 1;
            let truth = values[usize::try_from(index).unwrap()];
            let found = histogram.percentile(rank).unwrap();
            prop_assert!(found.abs_diff(truth) <= truth / 63, "{found} for {truth}");
        }

        #[test]
        fn merging_is_counting_together(left in prop::collection::vec(any::<u64>(), 0..50), right in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(merged, of(&[left, right].concat()));
        }

        #[test]
        fn bytes_round_trip(values in prop::collection::vec(any::<u64>(), 0..100)) {
            let histogram = of(&values);
            prop_assert_eq!(Histogram::from_bytes(&histogram.to_bytes()), Ok(histogram));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Histogram::from_bytes(&bytes);
        }
    }
}
