//! Logical types: what stands behind numbers and bytes, and its text in JSON.
//!
//! As the specification wants, one that is malformed or stands on the wrong type is as if it were not there.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime};
use num_bigint::BigInt;
use serde_json::{Map, Value};

/// The most bytes of a decimal's number: over a thousand digits, and its text is still made in no time.
const MAX_DECIMAL_BYTES: usize = 512;
/// The most digits behind a decimal's point, or zeros in front of it.
const MAX_SCALE: u32 = 1_024;

/// What an `int` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IntAs {
    Number,
    Date,
    Time,
}

/// What a `long` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LongAs {
    Number,
    /// Microseconds since midnight.
    Time,
    Timestamp {
        unit: Unit,
        local: bool,
    },
}

/// A part of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milli,
    Micro,
    Nano,
}

/// What `bytes` or a `fixed` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BytesAs {
    Base64,
    Decimal { scale: u32 },
    BigDecimal,
    Uuid,
    Duration,
}

fn logical_type(object: &Map<String, Value>) -> Option<&str> {
    object.get("logicalType")?.as_str()
}

impl IntAs {
    pub fn of(object: &Map<String, Value>) -> Self {
        match logical_type(object) {
            Some("date") => Self::Date,
            Some("time-millis") => Self::Time,
            _ => Self::Number,
        }
    }

    /// What `value` is in JSON.
    pub fn write(self, value: i32, out: &mut String) {
        let text = match self {
            Self::Number => None,
            Self::Date => date(value),
            Self::Time => u32::try_from(value).ok().and_then(|millis| time(u64::from(millis), Unit::Milli)),
        };
        text_or_number(text, i64::from(value), out);
    }
}

impl LongAs {
    pub fn of(object: &Map<String, Value>) -> Self {
        let Some(name) = logical_type(object) else { return Self::Number };
        let (local, name) = name.strip_prefix("local-").map_or((false, name), |rest| (true, rest));
        let timestamp = |unit| Self::Timestamp { unit, local };
        match name {
            "timestamp-millis" => timestamp(Unit::Milli),
            "timestamp-micros" => timestamp(Unit::Micro),
            "timestamp-nanos" => timestamp(Unit::Nano),
            "time-micros" if !local => Self::Time,
            _ => Self::Number,
        }
    }

    /// What `value` is in JSON.
    pub fn write(self, value: i64, out: &mut String) {
        let text = match self {
            Self::Number => None,
            Self::Time => u64::try_from(value).ok().and_then(|micros| time(micros, Unit::Micro)),
            Self::Timestamp { unit, local } => timestamp(value, unit, local),
        };
        text_or_number(text, value, out);
    }
}

impl BytesAs {
    /// `fixed` is the size of a fixed type.
    pub fn of(object: &Map<String, Value>, fixed: Option<usize>) -> Self {
        let number = |key: &str| object.get(key).map(Value::as_u64);
        match (logical_type(object), fixed) {
            (Some("decimal"), _) => {
                // Without a scale it is 0.
                let scale = number("scale").unwrap_or(Some(0)).and_then(|scale| u32::try_from(scale).ok());
                match (number("precision").flatten(), scale) {
                    (Some(precision), Some(scale)) if u64::from(scale) <= precision && scale <= MAX_SCALE => {
                        Self::Decimal { scale }
                    }
                    _ => Self::Base64,
                }
            }
            (Some("big-decimal"), None) => Self::BigDecimal,
            (Some("uuid"), Some(16)) => Self::Uuid,
            (Some("duration"), Some(12)) => Self::Duration,
            _ => Self::Base64,
        }
    }

    /// What `bytes` are in JSON, or what is wrong with them.
    pub fn write(self, bytes: &[u8], out: &mut String) -> Result<(), String> {
        match self {
            Self::Base64 => {
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Self::Decimal { scale } => decimal(bytes, i64::from(scale), out)?,
            Self::BigDecimal => {
                let (unscaled, scale) = big_decimal(bytes).ok_or("a big-decimal is malformed")?;
                decimal(unscaled, scale, out)?;
            }
            Self::Uuid => uuid(bytes, out),
            Self::Duration => duration(bytes, out),
        }
        Ok(())
    }
}

fn text_or_number(text: Option<String>, number: i64, out: &mut String) {
    let written = match text {
        Some(text) => write!(out, "\"{text}\""),
        None => write!(out, "{number}"),
    };
    written.expect("a String takes any text");
}

/// Whether RFC 3339 can say it: years of four digits.
fn in_calendar(date: NaiveDate) -> bool {
    (0..=9999).contains(&date.year())
}

fn date(days: i32) -> Option<String> {
    let date = NaiveDate::from_epoch_days(days).filter(|date| in_calendar(*date))?;
    Some(date.format("%Y-%m-%d").to_string())
}

fn time(since_midnight: u64, unit: Unit) -> Option<String> {
    let per_second = unit.per_second().unsigned_abs();
    let seconds = u32::try_from(since_midnight / per_second).ok()?;
    let nanos = u32::try_from(since_midnight % per_second * (1_000_000_000 / per_second)).ok()?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
    Some(time.format(unit.of_day()).to_string())
}

fn timestamp(value: i64, unit: Unit, local: bool) -> Option<String> {
    let per_second = unit.per_second();
    let nanos = u32::try_from(value.rem_euclid(per_second) * (1_000_000_000 / per_second)).ok()?;
    let moment = DateTime::from_timestamp(value.div_euclid(per_second), nanos)?.naive_utc();
    let zone = if local { "" } else { "Z" };
    in_calendar(moment.date()).then(|| format!("{}T{}{zone}", moment.format("%Y-%m-%d"), moment.format(unit.of_day())))
}

impl Unit {
    fn per_second(self) -> i64 {
        match self {
            Self::Milli => 1_000,
            Self::Micro => 1_000_000,
            Self::Nano => 1_000_000_000,
        }
    }

    /// The format of a time of day.
    fn of_day(self) -> &'static str {
        match self {
            Self::Milli => "%H:%M:%S%.3f",
            Self::Micro => "%H:%M:%S%.6f",
            Self::Nano => "%H:%M:%S%.9f",
        }
    }
}

/// `unscaled` (two's complement, big-endian) with `scale` of its digits behind the point.
fn decimal(unscaled: &[u8], scale: i64, out: &mut String) -> Result<(), String> {
    if unscaled.len() > MAX_DECIMAL_BYTES || scale.unsigned_abs() > u64::from(MAX_SCALE) {
        let length = unscaled.len();
        return Err(format!(
            "a decimal has {length} bytes and scale {scale}; at most {MAX_DECIMAL_BYTES} and {MAX_SCALE} are read"
        ));
    }
    let number = BigInt::from_signed_bytes_be(unscaled);
    let digits = number.magnitude().to_string();
    if number.sign() == num_bigint::Sign::Minus {
        out.push('-');
    }
    let zeros = |count: usize| "0".repeat(count);
    match usize::try_from(scale) {
        Ok(0) => out.push_str(&digits),
        Ok(scale) => {
            let padded = zeros((scale + 1).saturating_sub(digits.len())) + &digits;
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            write!(out, "{whole}.{fraction}").expect("a String takes any text");
        }
        Err(_) if digits == "0" => out.push('0'),
        Err(_) => {
            let behind = usize::try_from(scale.unsigned_abs()).expect("it is bounded above");
            out.push_str(&(digits + &zeros(behind)));
        }
    }
    Ok(())
}

/// The number and the scale of a big-decimal: bytes and an int, written as Avro writes them.
fn big_decimal(bytes: &[u8]) -> Option<(&[u8], i64)> {
    let mut input = super::decode::Input(bytes);
    let unscaled = input.length_delimited().ok()?;
    let scale = input.long().ok()?;
    input.0.is_empty().then_some((unscaled, scale))
}

fn uuid(bytes: &[u8], out: &mut String) {
    out.push('"');
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        write!(out, "{byte:02x}").expect("a String takes any text");
    }
    out.push('"');
}

/// Three little-endian numbers: months, days, milliseconds.
fn duration(bytes: &[u8], out: &mut String) {
    let part = |index: usize| {
        let four = bytes[index * 4..][..4].try_into().expect("four bytes");
        u32::from_le_bytes(four)
    };
    let (months, days, millis) = (part(0), part(1), part(2));
    let mut text = "P".to_owned();
    let mut add = |count: u32, unit: &str| {
        if count > 0 {
            write!(text, "{count}{unit}").expect("a String takes any text");
        }
    };
    add(months, "M");
    add(days, "D");
    let fraction = if millis % 1_000 == 0 { String::new() } else { format!(".{:03}", millis % 1_000) };
    if millis > 0 {
        write!(text, "T{}{fraction}S", millis / 1_000).expect("a String takes any text");
    } else if text == "P" {
        text.push_str("T0S");
    }
    write!(out, "\"{text}\"").expect("a String takes any text");
}
