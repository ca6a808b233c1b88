//! A set of offsets, kept as runs: what is done above a position below which everything is.

use std::{collections::BTreeMap, ops::Range};

/// The encoding's first byte when lengths follow: gap, run, gap, run, … from the base upward, as varints.
const LENGTHS: u8 = 1;
/// The encoding's first byte when one bit per offset follows, from the base upward, lowest bit first.
const BITS: u8 = 2;

/// A set of offsets as ordered runs that neither overlap nor touch. Memory and time go with the number of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// Start to end, exclusive.
    runs: BTreeMap<i64, i64>,
}

/// Bytes that [`Runs::encode`] did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an encoding of runs of offsets: {0}")]
pub struct InvalidRuns(&'static str);

impl Runs {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds every offset of `range`.
    pub fn insert(&mut self, range: Range<i64>) {
        let Range { start, mut end } = range;
        if start >= end {
            return;
        }
        // One search in the usual case: the run before is made longer.
        while let Some((&other, other_end)) = self.runs.range_mut(..=end).next_back() {
            if other <= start {
                if *other_end >= start {
                    *other_end = end.max(*other_end);
                    return;
                }
                break;
            }
            // It begins within, or right at the end: swallowed.
            end = end.max(*other_end);
            self.runs.remove(&other);
        }
        self.runs.insert(start, end);
    }

    /// Whether `offset` is in the set.
    pub fn contains(&self, offset: i64) -> bool {
        self.run_at(offset).is_some()
    }

    /// The first offset from `from` on that is not in the set.
    pub fn first_missing(&self, from: i64) -> i64 {
        self.run_at(from).map_or(from, |run| run.end)
    }

    /// Forgets everything below `base`.
    pub fn advance(&mut self, base: i64) {
        while let Some(first) = self.runs.first_entry() {
            if *first.key() >= base {
                return;
            }
            let end = first.remove();
            if end > base {
                self.runs.insert(base, end);
            }
        }
    }

    /// Forgets everything from `end` on.
    pub fn truncate(&mut self, end: i64) {
        self.runs.split_off(&end);
        if let Some(mut last) = self.runs.last_entry() {
            let clipped = end.min(*last.get());
            *last.get_mut() = clipped;
        }
    }

    /// The runs, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<i64>> {
        self.runs.iter().map(|(start, end)| *start..*end)
    }

    /// How many runs there are.
    pub fn len_runs(&self) -> usize {
        self.runs.len()
    }

    /// Whether no offset is in the set.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// What is in the set from `base` on, in at most `max_bytes`: lengths or bits, whichever is shorter. What does
    /// not fit is left out from the top, so that what is encoded is the whole set up to some offset.
    pub fn encode(&self, base: i64, max_bytes: usize) -> Vec<u8> {
        let (lengths, lengths_end) = self.encode_lengths(base, max_bytes);
        // One bit per offset can't be shorter than that without leaving something out.
        let room = if lengths_end == i64::MAX { lengths.len().saturating_sub(1) } else { max_bytes };
        let (bits, bits_end) = self.encode_bits(base, room);
        if bits_end > lengths_end || (bits_end == lengths_end && bits.len() < lengths.len()) { bits } else { lengths }
    }

    /// What [`encode`](Self::encode) wrote for the same `base`.
    pub fn decode(base: i64, bytes: &[u8]) -> Result<Self, InvalidRuns> {
        match bytes.split_first() {
            None => Ok(Self::new()),
            Some((&LENGTHS, lengths)) => decode_lengths(base, lengths),
            Some((&BITS, bits)) => decode_bits(base, bits),
            Some(_) => Err(InvalidRuns("its first byte names no known format")),
        }
    }

    fn run_at(&self, offset: i64) -> Option<Range<i64>> {
        let (start, end) = self.runs.range(..=offset).next_back()?;
        (offset < *end).then_some(*start..*end)
    }

    /// The runs that reach above `base`, without what is below it.
    fn above(&self, base: i64) -> impl Iterator<Item = Range<i64>> {
        let across = self.run_at(base).map(|run| base..run.end);
        across.into_iter().chain(self.runs.range(base + 1..).map(|(start, end)| *start..*end))
    }

    /// The bytes, and the offset up to which they tell everything.
    fn encode_lengths(&self, base: i64, max_bytes: usize) -> (Vec<u8>, i64) {
        let mut bytes = Vec::new();
        let mut at = base;
        for run in self.above(base) {
            let whole = bytes.len();
            if bytes.is_empty() {
                bytes.push(LENGTHS);
            }
            push_varint(&mut bytes, run.start.abs_diff(at));
            push_varint(&mut bytes, run.end.abs_diff(run.start));
            if bytes.len() > max_bytes {
                bytes.truncate(whole);
                return (bytes, run.start);
            }
            at = run.end;
        }
        (bytes, i64::MAX)
    }

    /// The bytes, and the offset up to which they tell everything.
    fn encode_bits(&self, base: i64, max_bytes: usize) -> (Vec<u8>, i64) {
        let room = i64::try_from(max_bytes.saturating_sub(1)).unwrap_or(i64::MAX).saturating_mul(8);
        let limit = base.saturating_add(room);
        let mut bytes = Vec::new();
        for run in self.above(base) {
            for offset in run.start..run.end.min(limit) {
                let bit = offset.abs_diff(base);
                let at = usize::try_from(bit / 8).expect("bits are limited by the bytes that are allowed") + 1;
                if bytes.len() <= at {
                    bytes.resize(at + 1, 0);
                }
                bytes[at] |= 1_u8 << (bit % 8);
            }
            if run.end > limit {
                break;
            }
        }
        if let Some(format) = bytes.first_mut() {
            *format = BITS;
        }
        let all = self.runs.last_key_value().is_none_or(|(_, end)| *end <= limit);
        (bytes, if all { i64::MAX } else { limit })
    }
}

impl FromIterator<Range<i64>> for Runs {
    fn from_iter<I: IntoIterator<Item = Range<i64>>>(ranges: I) -> Self {
        let mut runs = Self::new();
        ranges.into_iter().for_each(|range| runs.insert(range));
        runs
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
}

fn take_varint(bytes: &mut &[u8]) -> Result<i64, InvalidRuns> {
    let mut value = 0_i64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(InvalidRuns("it ends within a number"))?;
        *bytes = rest;
        value |= i64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(InvalidRuns("a number is too large"))
}

fn decode_lengths(base: i64, mut bytes: &[u8]) -> Result<Runs, InvalidRuns> {
    let mut runs = BTreeMap::new();
    let mut at = base;
    let past = |at: i64, by: i64| at.checked_add(by).ok_or(InvalidRuns("a run ends past the last offset"));
    while !bytes.is_empty() {
        let gap = take_varint(&mut bytes)?;
        let length = take_varint(&mut bytes)?;
        if length == 0 || (gap == 0 && !runs.is_empty()) {
            return Err(InvalidRuns("a run is empty or touches another"));
        }
        let start = past(at, gap)?;
        at = past(start, length)?;
        runs.insert(start, at);
    }
    Ok(Runs { runs })
}

fn decode_bits(base: i64, bytes: &[u8]) -> Result<Runs, InvalidRuns> {
    let offsets = i64::try_from(bytes.len() * 8).ok().and_then(|bits| base.checked_add(bits));
    offsets.ok_or(InvalidRuns("a run ends past the last offset"))?;
    let set = (base..).zip(bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)));
    Ok(set.filter(|(_, set)| *set).map(|(offset, _)| offset..offset + 1).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn offsets(runs: &Runs) -> BTreeSet<i64> {
        runs.iter().flatten().collect()
    }

    fn ranges(longest: i64) -> impl Strategy<Value = Vec<Range<i64>>> {
        let range = (0..2_000_i64, 0..longest).prop_map(|(start, length)| start..start + length);
        prop::collection::vec(range, 0..120)
    }

    #[test]
    fn runs_that_touch_become_one() {
        let mut runs: Runs = [10..12, 14..16, 20..21].into_iter().collect();
        assert_eq!(runs.len_runs(), 3);
        runs.insert(12..14);
        assert_eq!(runs.iter().collect::<Vec<_>>(), [10..16, 20..21]);
        assert_eq!((runs.first_missing(10), runs.first_missing(16), runs.first_missing(20)), (16, 16, 21));
        runs.truncate(20);
        assert_eq!(runs, std::iter::once(10..16).collect());
    }

    #[test]
    fn the_shorter_encoding_is_taken() {
        let alternating: Runs = (0..100).map(|i| i * 2..i * 2 + 1).collect();
        assert_eq!(alternating.encode(0, 1_000).len(), 1 + 25);
        let one_long: Runs = std::iter::once(5..100_000).collect();
        assert_eq!(one_long.encode(0, 1_000).len(), 1 + 1 + 3);
        assert_eq!(Runs::new().encode(0, 1_000).len(), 0);
    }

    #[test]
    fn what_was_not_encoded_by_this_is_refused() {
        let too_far = [&[LENGTHS][..], &[0xff; 8], &[0x7f, 1]].concat();
        for bytes in
            [&[9, 1, 1][..], &[LENGTHS, 1], &[LENGTHS, 0x80], &[LENGTHS, 1, 0], &[LENGTHS, 1, 1, 0, 1], &too_far]
        {
            assert!(Runs::decode(1, bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn the_set_is_the_models(ranges in ranges(60), base in 0..2_100_i64, end in 0..2_100_i64) {
            let mut model = BTreeSet::new();
            let mut runs = Runs::new();
            for range in ranges {
                model.extend(range.clone());
                runs.insert(range);
            }
            prop_assert_eq!(&offsets(&runs), &model);
            let all: Vec<_> = runs.iter().collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(runs.contains(base), model.contains(&base));
            prop_assert_eq!(runs.first_missing(base), (base..5_000).find(|offset| !model.contains(offset)).unwrap());
            runs.advance(base);
            runs.truncate(end);
            model.retain(|offset| (base..end).contains(offset));
            prop_assert_eq!(offsets(&runs), model);
        }

        #[test]
        fn what_fits_is_the_whole_set_up_to_some_offset(
            ranges in prop_oneof![ranges(3), ranges(60)],
            base in 0..2_100_i64,
            max_bytes in prop_oneof![0..40_usize, 0..1_000_usize],
        ) {
            let runs: Runs = ranges.into_iter().collect();
            let bytes = runs.encode(base, max_bytes);
            prop_assert!(bytes.len() <= max_bytes);
            let decoded = offsets(&Runs::decode(base, &bytes).unwrap());
            let mut all = offsets(&runs);
            all.retain(|offset| *offset >= base);
            let missing = all.difference(&decoded).next().copied().unwrap_or(i64::MAX);
            prop_assert!(decoded.is_subset(&all));
            prop_assert!(decoded.iter().all(|offset| *offset < missing));
            if max_bytes >= 400 {
                prop_assert_eq!(decoded, all);
            }
        }

        #[test]
        fn no_bytes_make_decoding_panic(base in any::<i64>(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Runs::decode(base, &bytes);
        }
    }
}
