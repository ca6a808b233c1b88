//! From a record of a source to an event, or why not.
//!
//! | record | is |
//! |---|---|
//! | with a header `ce_specversion` | CloudEvents 1.0, binary: attributes in headers `ce_…`, the value is the data |
//! | JSON object with `specversion`, or content type `application/cloudevents+json` | CloudEvents 1.0, structured |
//! | any other JSON object | `{"type", "data", "id"?, "tenant"?, "timestamp"?, "subject"?, "previous"?}`; `type`, `tenant` and `id` may be headers instead |
//!
//! Bytes of `data` and `previous` are never changed.

use bytes::Bytes;
use postrider_domain::{
    Event, EventId, TenantId, Timestamp,
    envelope::is_json_content_type,
    message_id::{event_id, event_id_from_coordinates},
    pattern::validate_event_type,
};
use postrider_kafka::{Headers, Record, RejectReason};

use super::{
    json::{Members, is_valid_json},
    source::{SourceConfig, SourceFormat},
};

/// The largest record of a source, key and value, in bytes.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// What is in headers goes on into every delivery and dead letter, more than once: with more than this, no topic might
/// take even the record that says so.
const MAX_HEADERS_BYTES: usize = 256 * 1024;
/// The longest content type, in bytes.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";
const STRUCTURED: &str = "application/cloudevents+json";

/// Why a record is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    /// The class.
    pub reason: RejectReason,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Rejection {
    pub(super) fn undecodable(message: impl Into<String>) -> Self {
        Self { reason: RejectReason::Undecodable, message: message.into() }
    }
}

/// What a record says of its event, whatever its format.
#[derive(Debug, Default)]
struct Parts {
    id: Option<String>,
    /// The CloudEvents `source`.
    source: Option<String>,
    event_type: Option<String>,
    tenant: Option<String>,
    time: Option<Timestamp>,
    subject: Option<String>,
    ordering_key: Option<String>,
    data: Bytes,
    previous: Option<Bytes>,
    content_type: String,
}

/// Decodes a record. None: it has no value, so there is no event.
pub(super) fn decode(source: &SourceConfig, record: &Record) -> Result<Option<Event>, Rejection> {
    let value = record.value.clone().unwrap_or_default();
    let bytes = value.len() + record.key.as_ref().map_or(0, Bytes::len);
    if bytes > MAX_RECORD_BYTES {
        let message = format!("the record has {bytes} bytes; events have at most {MAX_RECORD_BYTES}");
        return Err(Rejection { reason: RejectReason::TooLarge, message });
    }
    let in_headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if in_headers > MAX_HEADERS_BYTES {
        let message = format!("the record's headers have {in_headers} bytes; events' have at most {MAX_HEADERS_BYTES}");
        return Err(Rejection { reason: RejectReason::TooLarge, message });
    }
    let is_binary = record.headers.get("ce_specversion").is_some();
    let parts = match source.format {
        SourceFormat::Auto | SourceFormat::CloudEvents if is_binary => binary(&record.headers, value)?,
        _ if value.is_empty() => return Ok(None),
        SourceFormat::Json => plain(Members::parse(&value)?, &record.headers, &value)?,
        SourceFormat::CloudEvents => structured(Members::parse(&value)?, &value)?,
        SourceFormat::Auto => {
            let members = Members::parse(&value)?;
            if members.is_cloudevent() || says_structured(&record.headers)? {
                structured(members, &value)?
            } else {
                plain(members, &record.headers, &value)?
            }
        }
    };
    event(source, record, parts).map(Some)
}

/// The record's trace context, if it has one that can be passed on.
pub(super) fn traceparent(headers: &Headers) -> Option<String> {
    let text = headers.get_str("traceparent").or_else(|| headers.get_str("ce_traceparent"))?;
    // As W3C Trace Context has it, version 00: 55 characters.
    let well_formed = text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    well_formed.then(|| text.to_owned())
}

fn says_structured(headers: &Headers) -> Result<bool, Rejection> {
    let content_type = header(headers, "content-type")?.unwrap_or_default();
    Ok(content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(STRUCTURED))
}

/// CloudEvents, Kafka protocol binding 1.0.2, section 3.2.
fn binary(headers: &Headers, data: Bytes) -> Result<Parts, Rejection> {
    check_specversion(header(headers, "ce_specversion")?.as_deref())?;
    let content_type = match header(headers, "content-type")? {
        Some(content_type) => content_type,
        None if data.is_empty() || is_valid_json(&data) => JSON.to_owned(),
        None => BINARY.to_owned(),
    };
    Ok(Parts {
        id: header(headers, "ce_id")?,
        source: header(headers, "ce_source")?,
        event_type: header(headers, "ce_type")?,
        tenant: header(headers, "ce_tenant")?,
        time: header(headers, "ce_time")?.map(|time| rfc3339(&time)).transpose()?,
        subject: header(headers, "ce_subject")?,
        ordering_key: header(headers, "ce_partitionkey")?,
        data,
        previous: None,
        content_type,
    })
}

/// CloudEvents, JSON format 1.0.2.
fn structured(members: Members<'_>, value: &Bytes) -> Result<Parts, Rejection> {
    let cloudevent = members.cloudevent(value)?;
    check_specversion(cloudevent.specversion.as_deref())?;
    Ok(Parts {
        id: members.id()?,
        source: cloudevent.source,
        event_type: members.event_type,
        tenant: members.tenant,
        time: cloudevent.time.as_deref().map(rfc3339).transpose()?,
        subject: members.subject,
        ordering_key: cloudevent.partitionkey,
        data: cloudevent.data,
        previous: None,
        content_type: cloudevent.content_type.unwrap_or_else(|| JSON.to_owned()),
    })
}

fn plain(members: Members<'_>, headers: &Headers, value: &Bytes) -> Result<Parts, Rejection> {
    let Some(data) = members.data else {
        return Err(Rejection::undecodable("there is no 'data': put the event's payload there (null if it has none)"));
    };
    Ok(Parts {
        id: members.id()?.or(header(headers, "id")?),
        source: None,
        event_type: members.event_type.clone().or(header(headers, "type")?),
        tenant: members.tenant.clone().or(header(headers, "tenant")?),
        time: members.timestamp()?,
        ordering_key: None,
        data: value.slice_ref(data.get().as_bytes()),
        previous: members.previous.map(|previous| value.slice_ref(previous.get().as_bytes())),
        content_type: JSON.to_owned(),
        subject: members.subject,
    })
}

fn event(source: &SourceConfig, record: &Record, parts: Parts) -> Result<Event, Rejection> {
    check_data(&parts)?;
    let event_type = parts.event_type.unwrap_or_default();
    validate_event_type(&event_type)
        .map_err(|error| Rejection { reason: RejectReason::EventType, message: error.to_string() })?;
    let tenant = tenant(parts.tenant.as_deref(), source.tenant.as_ref())?;
    let coordinates = record.coordinates();
    let id: EventId = match parts.id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => event_id(&source.name, parts.source.as_deref(), id),
        None => event_id_from_coordinates(&source.name, &coordinates, record.timestamp),
    };
    Ok(Event {
        id,
        producer_id: parts.id,
        source: parts.source.unwrap_or_else(|| source.name.clone()),
        tenant,
        event_type,
        time: parts.time.unwrap_or(record.timestamp),
        subject: parts.subject,
        // Without one of its own, an event is ordered by what orders it in its source.
        ordering_key: parts.ordering_key.or_else(|| record.key_str().map(str::to_owned)),
        data: parts.data,
        previous: parts.previous,
        content_type: parts.content_type,
        coordinates,
    })
}

fn check_data(parts: &Parts) -> Result<(), Rejection> {
    let content_type = &parts.content_type;
    let sendable = content_type.contains('/') && content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !sendable || content_type.len() > MAX_CONTENT_TYPE_BYTES {
        return Err(Rejection::undecodable(format!("{:?} is not a content type", shortened(content_type))));
    }
    if is_json_content_type(content_type) && !parts.data.is_empty() && !is_valid_json(&parts.data) {
        return Err(Rejection::undecodable(format!("the data is not JSON, as the content type {content_type} says")));
    }
    Ok(())
}

fn tenant(named: Option<&str>, configured: Option<&TenantId>) -> Result<TenantId, Rejection> {
    let rejected = |message: String| Rejection { reason: RejectReason::Tenant, message };
    match (named, configured) {
        (Some(named), _) => named.parse().map_err(|error| rejected(format!("{error}"))),
        (None, Some(configured)) => Ok(configured.clone()),
        (None, None) => Err(rejected("the record names no tenant, and its source has none configured".to_owned())),
    }
}

fn check_specversion(version: Option<&str>) -> Result<(), Rejection> {
    match version {
        Some("1.0") => Ok(()),
        Some(other) => {
            Err(Rejection::undecodable(format!("CloudEvents {:?} is not supported: write 1.0", shortened(other))))
        }
        None => Err(Rejection::undecodable(
            "it is not a CloudEvent: there is neither a header 'ce_specversion' nor a member 'specversion'",
        )),
    }
}

pub(super) fn rfc3339(text: &str) -> Result<Timestamp, Rejection> {
    let parsed = Timestamp::parse_rfc3339(text);
    parsed.ok_or_else(|| Rejection::undecodable(format!("the time {:?} is not RFC 3339", shortened(text))))
}

/// A header's text. An error if it is there and is not text.
fn header(headers: &Headers, name: &str) -> Result<Option<String>, Rejection> {
    let Some(bytes) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(bytes);
    text.map(|text| Some(text.to_owned()))
        .map_err(|_| Rejection::undecodable(format!("the header '{name}' is not UTF-8")))
}

/// Enough of a text to recognise it.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
