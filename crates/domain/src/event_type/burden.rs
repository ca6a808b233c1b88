//! What data asks of whoever holds it against a schema.

use serde_json::Value;

/// The most digits of an event's long numbers, all together: comparing one takes time that grows with its digits
/// squared.
pub(super) const MAX_LONG_DIGITS: usize = 100_000;
/// Numbers of up to so many digits are not counted: every float has fewer.
const SHORT_DIGITS: usize = 40;
/// What a number counts at most: those with more digits are compared as text.
const MAX_DIGITS_COUNTED: usize = 10_000;

/// The digits of all numbers that are long when written without an exponent, as `1e-300` is.
pub(super) fn long_digits(value: &Value) -> usize {
    match value {
        Value::Number(number) => {
            let digits = digits(number.as_str());
            if digits > SHORT_DIGITS { digits.min(MAX_DIGITS_COUNTED) } else { 0 }
        }
        Value::Array(list) => list.iter().map(long_digits).sum(),
        Value::Object(object) => object.values().map(long_digits).sum(),
        Value::Null | Value::Bool(_) | Value::String(_) => 0,
    }
}

fn digits(text: &str) -> usize {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    mantissa.len().saturating_add(exponent.trim_start_matches(['+', '-']).parse().unwrap_or(usize::MAX))
}

/// What a copy takes in memory, about.
pub(super) fn memory_bytes(value: &Value) -> usize {
    const EACH: usize = 64;
    match value {
        Value::Null | Value::Bool(_) => EACH,
        Value::Number(number) => EACH + number.as_str().len(),
        Value::String(text) => EACH + text.len(),
        Value::Array(list) => EACH + list.iter().map(memory_bytes).sum::<usize>(),
        Value::Object(object) => {
            EACH + object.iter().map(|(name, value)| EACH + name.len() + memory_bytes(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_as_if_there_were_no_exponents() {
        let count = |text: &str| long_digits(&serde_json::from_str(text).unwrap());
        assert_eq!(count(r#"[1, -12.5, 0.30000000000000004, 5e-9, {"a": "1e300"}]"#), 0);
        assert_eq!(count("1e300"), 301);
        assert_eq!(count(r#"{"a": [3e-299, 3E+299]}"#), 600);
        assert_eq!(count(&"7".repeat(41)), 41);
        for huge in ["1e999999999", "-1e-99999999999999999999999", &"9".repeat(500_000)] {
            assert_eq!(count(huge), MAX_DIGITS_COUNTED, "{huge:.30}");
        }
    }
}
