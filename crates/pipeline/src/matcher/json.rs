//! The members of a JSON record, structured CloudEvents and plain ones alike, in one pass and without
//! building its payload.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use postrider_domain::{Timestamp, envelope::is_json_content_type};
use postrider_kafka::RejectReason;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use super::decode::{Rejection, rfc3339, shortened};

/// What is understood of a record, each member as it is written; other members are ignored. What only CloudEvents have
/// is looked at only in those, and what the source says is elsewhere nowhere: a record may mean something else by it.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a JSON object")]
pub(super) struct Members<'a> {
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    tenant: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    /// Plain records only.
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    partitionkey: Option<&'a RawValue>,
    #[serde(borrow)]
    datacontenttype: Option<&'a RawValue>,
    /// `null` is data too.
    #[serde(borrow, default, deserialize_with = "present")]
    pub data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<&'a RawValue>,
    /// Plain records only.
    #[serde(borrow)]
    pub previous: Option<&'a RawValue>,
}

/// The most events in a batch.
const MAX_BATCH: usize = 1_000;

/// What only CloudEvents have.
#[derive(Debug)]
pub(super) struct CloudEvent {
    pub source: Option<String>,
    pub data: Bytes,
    pub content_type: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Members<'a> {
    /// Reads a JSON object.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Rejection> {
        let text = as_text(value)?;
        // serde would take a list for a struct.
        if is_list(value) {
            return Err(Rejection::undecodable(
                "it is a JSON list: write one record for each event, or batches of CloudEvents",
            ));
        }
        serde_json::from_str(text)
            .map_err(|error| Rejection::undecodable(format!("it is not an event in JSON: {error}")))
    }

    /// Whether it says that it is of CloudEvents.
    pub(super) fn is_cloudevent(&self) -> bool {
        self.specversion.is_some()
    }

    /// The version of CloudEvents.
    pub(super) fn specversion(&self) -> Result<Option<String>, Rejection> {
        text("specversion", self.specversion)
    }

    /// The producer's id: text, or a number as it was written.
    pub(super) fn id(&self) -> Result<Option<String>, Rejection> {
        self.id.map(|raw| text_or_number("id", raw)).transpose()
    }

    /// The event's type.
    pub(super) fn event_type(&self) -> Result<Option<String>, Rejection> {
        text("type", self.event_type)
    }

    /// Whose it is.
    pub(super) fn tenant(&self) -> Result<Option<String>, Rejection> {
        text("tenant", self.tenant)
    }

    /// What it is about.
    pub(super) fn subject(&self) -> Result<Option<String>, Rejection> {
        text("subject", self.subject)
    }

    /// What orders it, in CloudEvents.
    pub(super) fn partitionkey(&self) -> Result<Option<String>, Rejection> {
        text("partitionkey", self.partitionkey)
    }

    /// When it happened, in CloudEvents: RFC 3339.
    pub(super) fn time(&self) -> Result<Option<Timestamp>, Rejection> {
        text("time", self.time)?.as_deref().map(rfc3339).transpose()
    }

    /// When it happened, in plain records: RFC 3339, or milliseconds since the Unix epoch.
    pub(super) fn timestamp(&self) -> Result<Option<Timestamp>, Rejection> {
        let Some(raw) = self.timestamp else { return Ok(None) };
        let text = text_or_number("timestamp", raw)?;
        if raw.get().starts_with('"') {
            return rfc3339(&text).map(Some);
        }
        let millis = text.parse().map(|millis| Some(Timestamp::from_millis(millis)));
        millis.map_err(|_| {
            let text = shortened(&text);
            Rejection::undecodable(format!("the timestamp {text} is not a whole number of milliseconds"))
        })
    }

    /// Reads it as structured CloudEvents, whose record is `value`.
    pub(super) fn cloudevent(&self, value: &Bytes) -> Result<CloudEvent, Rejection> {
        let declared = text("datacontenttype", self.datacontenttype)?;
        let base64 = text("data_base64", self.data_base64)?;
        let is_json = declared.as_deref().is_none_or(is_json_content_type);
        let (data, content_type) = match (self.data, base64) {
            (Some(_), Some(_)) => {
                return Err(Rejection::undecodable("there are both 'data' and 'data_base64': write one"));
            }
            (None, None) => (Bytes::new(), declared),
            (None, Some(base64)) => {
                let data = STANDARD.decode(base64);
                let data = data.map_err(|error| Rejection::undecodable(format!("'data_base64': {error}")))?;
                (data.into(), declared.or_else(|| Some("application/octet-stream".to_owned())))
            }
            (Some(data), None) if is_json => (value.slice_ref(data.get().as_bytes()), declared),
            // CloudEvents, JSON format 1.0.2, section 3.1.1: data that is not JSON is text.
            (data @ Some(_), None) => (text("data", data)?.unwrap_or_default().into(), declared),
        };
        Ok(CloudEvent { source: text("source", self.source)?, data, content_type })
    }
}

/// Whether it begins like a JSON list.
pub(super) fn is_list(value: &[u8]) -> bool {
    value.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// The elements of a JSON list, each as it is written.
pub(super) fn elements(value: &Bytes) -> Result<Vec<Bytes>, Rejection> {
    let elements: Vec<&RawValue> = serde_json::from_str(as_text(value)?)
        .map_err(|error| Rejection::undecodable(format!("it is not a list in JSON: {error}")))?;
    if elements.len() > MAX_BATCH {
        let message = format!("the batch has {} events; batches have at most {MAX_BATCH}", elements.len());
        return Err(Rejection { reason: RejectReason::TooLarge, message });
    }
    Ok(elements.into_iter().map(|element| value.slice_ref(element.get().as_bytes())).collect())
}

fn as_text(value: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(value).map_err(|_| Rejection::undecodable("it is not JSON: it is not UTF-8"))
}

fn text(name: &str, raw: Option<&RawValue>) -> Result<Option<String>, Rejection> {
    let text = raw.map(|raw| serde_json::from_str(raw.get())).transpose();
    text.map_err(|_| Rejection::undecodable(format!("'{name}' is not text")))
}

fn text_or_number(name: &str, raw: &RawValue) -> Result<String, Rejection> {
    let text = raw.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).map_err(|error| Rejection::undecodable(format!("'{name}': {error}")));
    }
    if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(Rejection::undecodable(format!("'{name}' is {}, not text or a number", shortened(text))))
}

/// Whether it is one JSON value, by skimming it.
pub(super) fn is_valid_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}
