//! Values as people write them: sizes, secrets, addresses.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use postrider_pipeline::egress::Proxy;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected},
};

/// A number of bytes: a whole number, or a text such as `64MiB` or `500 kB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many mebibytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes, as the size of something in memory.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            _ => return Err(()),
        };
        let number: u64 = number.parse().map_err(|_| ())?;
        number.checked_mul(factor).map(Self).ok_or(())
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a number of bytes, such as 1048576 or \"64MiB\"";
        match Scalar::deserialize(deserializer)? {
            Scalar::Integer(number) => u64::try_from(number)
                .map(Self)
                .map_err(|_| D::Error::invalid_value(Unexpected::Signed(number), &EXPECTED)),
            Scalar::Text(text) => text.parse().map_err(|()| D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED)),
            Scalar::Bool(value) => Err(D::Error::invalid_type(Unexpected::Bool(value), &EXPECTED)),
        }
    }
}

/// A text that is never shown: not in logs, not in errors, not by `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that is to be kept secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A DNS server: an address with a port, or without one (53).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsServer(pub SocketAddr);

impl<'de> Deserialize<'de> for DnsServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<SocketAddr>()
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
            .map(Self)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"an IP address, with or without a port"))
    }
}

/// An egress proxy. Its URL may hold a password, so it is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyAddress(pub Proxy);

impl<'de> Deserialize<'de> for ProxyAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// librdkafka properties: texts, or numbers and truth values as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, PropertyText>);

impl Properties {
    /// The properties, as librdkafka takes them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.0.as_str()))
    }

    /// Whether there is a property of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sets one.
    pub fn set(&mut self, name: String, value: String) {
        self.0.insert(name, PropertyText(value));
    }
}

/// The value of one property. May be a password, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
struct PropertyText(String);

impl fmt::Debug for PropertyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<'de> Deserialize<'de> for PropertyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Integer(number) => number.to_string(),
            Scalar::Bool(value) => value.to_string(),
        }))
    }
}

/// A list of durations such as `["1s", "5m"]`.
pub fn durations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    let list = Vec::<humantime_serde::Serde<Duration>>::deserialize(deserializer)?;
    Ok(list.into_iter().map(humantime_serde::Serde::into_inner).collect())
}

/// An optional value that has a textual form of its own, such as an identifier.
pub fn parsed<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

/// What a scalar of the file may be where several kinds are accepted.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, a whole number, true or false")]
enum Scalar {
    Integer(i64),
    Bool(bool),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1024", 1024),
            ("1024B", 1024),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("2GiB", 2 << 30),
            ("500 kB", 500_000),
        ] {
            assert_eq!(text.parse::<ByteSize>().map(ByteSize::in_memory), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5MiB", "1 parsec", "99999999999GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_and_properties_are_not_shown() {
        let mut properties = Properties::default();
        properties.set("sasl.password".to_owned(), "hunter2".to_owned());
        let shown = format!("{:?} {:?}", Secret::new("hunter2".to_owned()), properties);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("sasl.password"), "{shown}");
    }
}
