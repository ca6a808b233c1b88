//! Exact comparison of JSON numbers: as decimals, whatever their size, never as floats.

use std::{
    borrow::Cow,
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use serde_json::Number;

/// Compares by value: `1.0` is equal to `1`, and 2^53 + 1 is greater than 2^53.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a.cmp(&b);
    }
    Decimal::parse(a.as_str()).cmp(&Decimal::parse(b.as_str()))
}

/// Hashes by value: numbers that compare as equal have the same hash, however they are written.
pub(super) fn hash(number: &Number, state: &mut impl Hasher) {
    Decimal::parse(number.as_str()).hash(state);
}

/// ±0.`digits` × 10^`point`, with neither leading nor trailing zeros; zero has no digits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Decimal<'a> {
    negative: bool,
    point: i64,
    digits: Cow<'a, str>,
}

impl<'a> Decimal<'a> {
    /// Parses a number in JSON's grammar. Exponents beyond an i64 are taken for its ends, which still orders them
    /// right against every number that could be written out.
    fn parse(text: &'a str) -> Self {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let leading_zeros = |all: &str| all.len() - all.trim_start_matches('0').len();
        let (digits, leading_zeros) = if fraction.is_empty() {
            (Cow::Borrowed(integer.trim_matches('0')), leading_zeros(integer))
        } else {
            let all = format!("{integer}{fraction}");
            (Cow::Owned(all.trim_matches('0').to_owned()), leading_zeros(&all))
        };
        let shift = as_i64(integer.len()) - as_i64(leading_zeros);
        let point = if digits.is_empty() { 0 } else { parse_exponent(exponent).saturating_add(shift) };
        Self { negative: negative && !digits.is_empty(), point, digits }
    }

    fn signum(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.signum().cmp(&other.signum()).then_with(|| {
            let magnitude = self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
            if self.negative { magnitude.reverse() } else { magnitude }
        })
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn parse_exponent(text: &str) -> i64 {
    let end = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(end)
}

fn as_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_compare_by_value() {
        let ascending = [
            "-1e99999999999999999999",
            "-18446744073709551616",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-0.1",
            "0",
            "1e-400",
            "0.1",
            "0.1000000000000000000001",
            "1",
            "1.5",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "18446744073709551615",
            "18446744073709551616",
            "1e400",
            "1e99999999999999999999",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(&number(a), &number(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn spelling_does_not_matter() {
        for (a, b) in
            [("1", "1.0"), ("-0", "0.00"), ("100", "1e2"), ("0.01", "1E-2"), ("12.50", "1.25e+1"), ("0e9", "0")]
        {
            assert_eq!(compare(&number(a), &number(b)), Ordering::Equal, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_scaled_integers(a in any::<i64>(), b in any::<i64>(), a_scale in 0..9u32, b_scale in 0..9u32) {
            let scaled = |n: i64, scale: u32| i128::from(n) * 10_i128.pow(9 - scale);
            let written = |n: i64, scale: u32| number(&format!("{n}e-{scale}"));
            let order = compare(&written(a, a_scale), &written(b, b_scale));
            prop_assert_eq!(order, scaled(a, a_scale).cmp(&scaled(b, b_scale)));
        }
    }
}
