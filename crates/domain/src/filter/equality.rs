//! When two JSON values are equal, and a hash that agrees with it.

use std::hash::{Hash, Hasher};

use serde_json::Value;

use super::number;

/// Equal by value: numbers whatever their spelling, objects whatever their order, lists element by element, text by
/// code points.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => number::compare(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Hashes a value so that equal ones have the same hash. Lists, and objects, of one length all have the same: whoever
/// finds something by this hash still compares.
pub(crate) fn hash(value: &Value, state: &mut impl Hasher) {
    std::mem::discriminant(value).hash(state);
    match value {
        Value::Null => {}
        Value::Bool(value) => value.hash(state),
        Value::Number(number) => number::hash(number, state),
        Value::String(text) => text.hash(state),
        Value::Array(list) => list.len().hash(state),
        Value::Object(object) => object.len().hash(state),
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hashed(value: &Value) -> u64 {
        let mut state = DefaultHasher::new();
        hash(value, &mut state);
        state.finish()
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn one_number_has_one_hash_however_it_is_written() {
        let spellings: [&[&str]; 7] = [
            &["1", "1.0", "1e0", "10e-1", "0.1E+1", "1.000000000000000000000000000000"],
            &["0", "-0", "0.0", "0e9", "-0.00E-7"],
            &["100", "1e2", "1.0e+2", "1000e-1"],
            &["-12.5", "-1.25e1", "-125E-1"],
            &["9007199254740993", "9.007199254740993e15"],
            &["123456789012345678901234567890.10", "1.234567890123456789012345678901e29"],
            &["1e99999999999999999999", "10e99999999999999999999"],
        ];
        for same in spellings {
            for (a, b) in same.iter().flat_map(|a| same.iter().map(move |b| (a, b))) {
                assert!(equal(&parsed(a), &parsed(b)), "{a} {b}");
                assert_eq!(hashed(&parsed(a)), hashed(&parsed(b)), "{a} {b}");
            }
        }
    }

    #[test]
    fn different_values_mostly_differ() {
        let values = [
            json!(null),
            json!(false),
            json!(true),
            json!(0),
            json!(1),
            parsed("9007199254740992"),
            parsed("9007199254740993"),
            parsed("0.1"),
            parsed("0.1000000000000000000001"),
            json!(""),
            json!("1"),
            json!("null"),
            json!([]),
            json!([1]),
            json!({}),
            json!({"a": 1}),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(equal(a, b), i == j, "{a} {b}");
                assert_eq!(hashed(a) == hashed(b), i == j, "{a} {b}");
            }
        }
    }

    fn any_number() -> impl Strategy<Value = String> {
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?"
    }

    proptest! {
        #[test]
        fn equal_values_have_equal_hashes(a in any_number(), zeros in 0..4usize, shift in 0..5i32) {
            let Value::Number(number) = parsed(&a) else { unreachable!("it is a number") };
            let (mantissa, exponent) = a.split_once(['e', 'E']).unwrap_or((&a, "0"));
            let point = if mantissa.contains('.') { "" } else { "." };
            // The same number, with zeros behind it and its exponent moved.
            let padded = format!("{mantissa}{point}0{}", "0".repeat(zeros));
            let moved = shifted(&padded, shift, exponent.parse().unwrap());
            prop_assert!(equal(&Value::Number(number.clone()), &parsed(&moved)), "{} {}", a, moved);
            prop_assert_eq!(hashed(&Value::Number(number)), hashed(&parsed(&moved)), "{} {}", a, moved);
        }
    }

    /// `mantissa`, which has a point, with the point moved left over added zeros, and the exponent that makes up for it.
    fn shifted(mantissa: &str, shift: i32, exponent: i32) -> String {
        let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
        let (integer, fraction) = digits.split_once('.').unwrap();
        if shift == 0 {
            return format!("{sign}{integer}.{fraction}e{exponent}");
        }
        let zeros = "0".repeat(usize::try_from(shift - 1).unwrap());
        let length = i32::try_from(integer.len()).unwrap();
        format!("{sign}0.{zeros}{integer}{fraction}e{}", exponent + length + shift - 1)
    }
}
