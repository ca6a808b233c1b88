//! Formats: what is made of a field's value.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde_json::{Number, Value, json};
use sha2::{Digest, Sha256};

/// Unix times from here on are in milliseconds: as seconds, the year 5138.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// What is made of a field's value. What each takes is in the table of the [module](super).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    String,
    Number,
    Boolean,
    Lowercase,
    Uppercase,
    Iso8601,
    UnixSeconds,
    UnixMilliseconds,
    UnixMicroseconds,
    Sha256,
    Uuid,
    Join(String),
}

impl Format {
    const NAMED: [Self; 11] = [
        Self::String,
        Self::Number,
        Self::Boolean,
        Self::Lowercase,
        Self::Uppercase,
        Self::Iso8601,
        Self::UnixSeconds,
        Self::UnixMilliseconds,
        Self::UnixMicroseconds,
        Self::Sha256,
        Self::Uuid,
    ];

    /// From its JSON. Error: what is wrong with it.
    pub(super) fn from_json(json: &Value) -> Result<Self, String> {
        let named = |name: &str| Self::NAMED.into_iter().find(|format| format.name() == name);
        let separator =
            |json: &Value| Some(json.as_object().filter(|it| it.len() == 1)?.get("join")?.as_str()?.to_owned());
        let found = json.as_str().and_then(named).or_else(|| separator(json).map(Self::Join));
        found.ok_or_else(|| {
            let known = Self::NAMED.map(|format| format.name()).join(", ");
            format!("unknown format: use one of {known}, or {{\"join\": \", \"}}")
        })
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Join(separator) => json!({"join": separator}),
            named => named.name().into(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
            Self::Iso8601 => "iso8601",
            Self::UnixSeconds => "unix_seconds",
            Self::UnixMilliseconds => "unix_milliseconds",
            Self::UnixMicroseconds => "unix_microseconds",
            Self::Sha256 => "sha256",
            Self::Uuid => "uuid",
            Self::Join(_) => "join",
        }
    }

    /// What it makes of `value`; none if it can't.
    pub(super) fn apply(&self, value: &Value) -> Option<Value> {
        Some(match self {
            Self::String => text_of(value)?.into_owned().into(),
            Self::Number => number(value)?.into(),
            Self::Boolean => boolean(value)?.into(),
            Self::Lowercase => text_of(value)?.to_lowercase().into(),
            Self::Uppercase => text_of(value)?.to_uppercase().into(),
            Self::Iso8601 => instant(value)?.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
            Self::UnixSeconds => instant(value)?.timestamp().into(),
            Self::UnixMilliseconds => instant(value)?.timestamp_millis().into(),
            Self::UnixMicroseconds => instant(value)?.timestamp_micros().into(),
            Self::Sha256 => hex::encode(Sha256::digest(text_of(value)?.trim().to_lowercase())).into(),
            Self::Uuid => uuid(&text_of(value)?).into(),
            Self::Join(separator) => join(value.as_array()?, separator)?.into(),
        })
    }
}

/// The text of a text, number or boolean.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.as_str().into()),
        Value::Bool(true) => Some("true".into()),
        Value::Bool(false) => Some("false".into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => serde_json::from_str(text.trim()).ok(),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Value::Number(number) => match number.as_u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// The point in time that a value names, in the years that RFC 3339 can write.
fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let instant = match value {
        Value::String(text) => {
            let text = text.trim();
            let date = || Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN).and_utc());
            DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok().or_else(date)
        }
        Value::Number(number) => DateTime::from_timestamp_millis(unix_millis(number)?),
        _ => None,
    }?;
    (0..=9_999).contains(&instant.year()).then_some(instant)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
fn unix_millis(number: &Number) -> Option<i64> {
    let Some(whole) = number.as_i64() else {
        let number = number.as_f64()?;
        let millis = if number.abs() < FIRST_MILLISECONDS as f64 { number * 1_000.0 } else { number };
        return Some(millis.floor() as i64);
    };
    if whole.unsigned_abs() < FIRST_MILLISECONDS.unsigned_abs() { Some(whole * 1_000) } else { Some(whole) }
}

/// A UUID of version 8 (RFC 9562, 5.8) made of the text's SHA-256: the same for the same text.
fn uuid(text: &str) -> String {
    let digest = Sha256::digest(text);
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("a SHA-256 has 32 bytes");
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn join(list: &[Value], separator: &str) -> Option<String> {
    let mut joined = String::new();
    let texts = list.iter().filter(|element| !element.is_null()).map(text_of);
    for (index, text) in texts.enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&text?);
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[track_caller]
    fn check(format: &str, table: &[(&str, Option<&str>)]) {
        let format = Format::from_json(&parsed(format)).unwrap();
        for (value, wanted) in table {
            let made = format.apply(&parsed(value)).map(|made| made.to_string());
            assert_eq!(made.as_deref(), *wanted, "{} of {value}", format.name());
        }
    }

    #[test]
    fn scalars_are_made_of_scalars_and_keep_their_digits() {
        check(
            r#""string""#,
            &[
                ("1.10", Some(r#""1.10""#)),
                ("1e+400", Some(r#""1e+400""#)),
                ("true", Some(r#""true""#)),
                (r#""a""#, Some(r#""a""#)),
                ("[1]", None),
                ("null", None),
            ],
        );
        check(
            r#""number""#,
            &[
                (r#"" 1.10 ""#, Some("1.10")),
                ("123456789012345678901234567890", Some("123456789012345678901234567890")),
                (r#""1e400""#, Some("1e+400")),
                (r#""1,5""#, None),
                (r#""0x1""#, None),
                (r#""""#, None),
                ("true", None),
            ],
        );
        check(
            r#""boolean""#,
            &[
                ("false", Some("false")),
                (r#""TRUE""#, Some("true")),
                ("1", Some("true")),
                ("0", Some("false")),
                ("2", None),
                (r#""yes""#, None),
            ],
        );
    }

    #[test]
    fn text_is_folded_hashed_and_joined() {
        check(r#""lowercase""#, &[(r#""ÄB""#, Some(r#""äb""#)), ("1e+5", Some(r#""1e+5""#)), ("{}", None)]);
        check(r#""uppercase""#, &[(r#""straße""#, Some(r#""STRASSE""#)), ("true", Some(r#""TRUE""#))]);
        // printf ann@example.com | sha256sum
        let hash = r#""71d4f55f72fa128dfb468a1a3901507c804b74316488744d769d7f4b16696476""#;
        check(r#""sha256""#, &[(r#"" Ann@Example.COM\n""#, Some(hash)), ("null", None), ("[]", None)]);
        // The first 16 bytes of: printf evt_1 | sha256sum, with version and variant.
        let id = r#""7d4e5a76-eae6-88c1-a541-0ac19fe67565""#;
        check(r#""uuid""#, &[(r#""evt_1""#, Some(id)), ("null", None), ("{}", None)]);
        check(
            r#"{"join": ", "}"#,
            &[
                (r#"["a", 1.50, true, null, "b"]"#, Some(r#""a, 1.50, true, b""#)),
                ("[]", Some(r#""""#)),
                ("[[1]]", None),
                (r#""a""#, None),
            ],
        );
    }

    #[test]
    fn times_are_read_however_they_are_written() {
        let table = [
            (r#""2026-01-31T13:00:00.5+01:00""#, Some(r#""2026-01-31T12:00:00.500Z""#)),
            (r#""2026-01-31""#, Some(r#""2026-01-31T00:00:00.000Z""#)),
            ("1769860800", Some(r#""2026-01-31T12:00:00.000Z""#)),
            ("1769860800.25", Some(r#""2026-01-31T12:00:00.250Z""#)),
            ("1769860800250", Some(r#""2026-01-31T12:00:00.250Z""#)),
            ("-1", Some(r#""1969-12-31T23:59:59.000Z""#)),
            (r#""yesterday""#, None),
            ("1e400", None),
            ("1e300", None),
            ("-9223372036854775808", None),
            ("99999999999999999999999999", None),
            ("true", None),
        ];
        check(r#""iso8601""#, &table);
        check(
            r#""unix_seconds""#,
            &[(r#""1969-12-31T23:59:59.5Z""#, Some("-1")), ("1769860800250", Some("1769860800"))],
        );
        check(r#""unix_milliseconds""#, &[("1769860800", Some("1769860800000"))]);
        check(r#""unix_microseconds""#, &[(r#""2026-01-31T12:00:00.000250Z""#, Some("1769860800000250"))]);
    }
}
