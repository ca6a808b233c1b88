//! From a record of a source to its events, or why not.
//!
//! | record | is |
//! |---|---|
//! | with a header `ce_specversion` | CloudEvents 1.0, binary: attributes in headers `ce_…`, the value is the data |
//! | JSON object with `specversion`, or content type `application/cloudevents+json` | CloudEvents 1.0, structured |
//! | JSON list | a batch of CloudEvents, structured |
//! | any other JSON object | `{"type", "data", "id"?, "tenant"?, "timestamp"?, "subject"?, "previous"?}`; `type`, `tenant` and `id` may be headers instead |
//! | Avro | what it is as JSON: CloudEvents where its schema is theirs, else the data; `type`, `tenant` and `id` in headers, the type otherwise the name of its schema |
//!
//! Bytes of `data` and `previous` are never changed, unless they were Avro.

use bytes::Bytes;
use postrider_domain::{
    Event, EventId, TenantId, Timestamp,
    envelope::is_json_content_type,
    message_id::{event_id, event_id_from_coordinates, event_id_in_batch},
    pattern::validate_event_type,
};
use postrider_kafka::{AvroJson, Headers, Record, RejectReason};

use super::{
    json::{Members, elements, is_list, is_valid_json},
    source::{SourceConfig, SourceFormat},
};

/// The largest record of a source, key and value, in bytes.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// What is in headers goes on into every delivery and dead letter, more than once: with more than this, no topic might
/// take even the record that says so.
const MAX_HEADERS_BYTES: usize = 256 * 1024;
/// The same of a batch with its key, for each of its events: any may take texts from there.
const MAX_BATCH_CONTEXT_BYTES: usize = 16 << 20;
/// The longest content type, in bytes.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";
const STRUCTURED: &str = "application/cloudevents+json";
/// The schema of CloudEvents in Avro.
const AVRO_CLOUDEVENT: &str = "io.cloudevents.CloudEvent";

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

    /// Of the event number `index` of a batch.
    fn of_event(self, index: usize, count: usize) -> Self {
        Self { message: format!("event {} of {count}: {}", index + 1, self.message), ..self }
    }
}

/// What a record says of its event, whatever its format.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub id: Option<String>,
    /// The CloudEvents `source`.
    pub source: Option<String>,
    pub event_type: Option<String>,
    pub tenant: Option<String>,
    pub time: Option<Timestamp>,
    pub subject: Option<String>,
    pub ordering_key: Option<String>,
    pub data: Bytes,
    pub previous: Option<Bytes>,
    pub content_type: String,
}

/// What a record comes to. It has no value if there is neither an event nor a rejection.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Its events: of most formats one, of a batch those that are well-formed.
    pub events: Vec<Event>,
    /// Why it is no event; of a batch, what is wrong with the others.
    pub rejections: Vec<Rejection>,
}

impl Decoded {
    pub(super) fn rejected(rejection: Rejection) -> Self {
        Self { events: Vec::new(), rejections: vec![rejection] }
    }
}

/// Decodes a record whose value is as it was written.
pub(super) fn decode(source: &SourceConfig, record: &Record) -> Decoded {
    let value = record.value.clone().unwrap_or_default();
    let is_binary = record.headers.get("ce_specversion").is_some();
    let one = match source.format {
        SourceFormat::Auto | SourceFormat::CloudEvents if is_binary => binary(source, &record.headers, value.clone()),
        _ if value.is_empty() => return Decoded::default(),
        SourceFormat::Auto | SourceFormat::CloudEvents if is_list(&value) => return batch(source, record, &value),
        SourceFormat::Json => members(source, &value).and_then(|it| plain(source, &record.headers, &it, &value)),
        SourceFormat::CloudEvents => Members::parse(&value).and_then(|it| structured(source, &it, &value)),
        SourceFormat::Auto => members(source, &value).and_then(|members| {
            if members.is_cloudevent() || media_type(&record.headers).as_deref() == Some(STRUCTURED) {
                structured(source, &members, &value)
            } else {
                plain(source, &record.headers, &members, &value)
            }
        }),
        SourceFormat::Avro => Err(Rejection::undecodable("it is not Avro: it does not begin with 00 or C3 01")),
    };
    single(source, record, &value, one)
}

/// Decodes a record whose value was Avro, and is this.
pub(super) fn decode_avro(source: &SourceConfig, record: &Record, avro: &AvroJson) -> Decoded {
    let (headers, value) = (&record.headers, &avro.json);
    let one = if headers.get("ce_specversion").is_some() {
        binary(source, headers, value.clone()).map(|parts| Parts { content_type: JSON.to_owned(), ..parts })
    } else if avro.name == AVRO_CLOUDEVENT {
        Members::parse(value).and_then(|members| structured(source, &members, value))
    } else if source.format == SourceFormat::CloudEvents {
        check_specversion(None).map(|()| Parts::default())
    } else {
        plain_avro(source, headers, avro)
    };
    single(source, record, value, one)
}

/// Whether a record may be looked at: it has the size of one.
pub(super) fn check_size(record: &Record) -> Result<(), Rejection> {
    let value = record.value.as_ref().map_or(0, Bytes::len);
    let bytes = value + record.key.as_ref().map_or(0, Bytes::len);
    if bytes > MAX_RECORD_BYTES {
        let message = format!("the record has {bytes} bytes; events have at most {MAX_RECORD_BYTES}");
        return Err(Rejection { reason: RejectReason::TooLarge, message });
    }
    let in_headers = bytes_in_headers(record);
    if in_headers > MAX_HEADERS_BYTES {
        let message = format!("the record's headers have {in_headers} bytes; events' have at most {MAX_HEADERS_BYTES}");
        return Err(Rejection { reason: RejectReason::TooLarge, message });
    }
    Ok(())
}

fn bytes_in_headers(record: &Record) -> usize {
    record.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// The record's trace context, if it has one that can be passed on.
pub(super) fn traceparent(headers: &Headers) -> Option<String> {
    let text = headers.get_str("traceparent").or_else(|| headers.get_str("ce_traceparent"))?;
    // As W3C Trace Context has it, version 00: 55 characters.
    let well_formed = text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    well_formed.then(|| text.to_owned())
}

/// The media type of the record's value, without parameters, in lower case.
pub(super) fn media_type(headers: &Headers) -> Option<String> {
    let content_type = headers.get_str("content-type")?;
    Some(content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn single(source: &SourceConfig, record: &Record, value: &Bytes, parts: Result<Parts, Rejection>) -> Decoded {
    match parts.and_then(|parts| event(source, record, value, parts, None)) {
        Ok(event) => Decoded { events: vec![event], rejections: Vec::new() },
        Err(rejection) => Decoded::rejected(rejection),
    }
}

/// CloudEvents, JSON batch format 1.0.2.
fn batch(source: &SourceConfig, record: &Record, value: &Bytes) -> Decoded {
    let elements = match elements(value) {
        Ok(elements) => elements,
        Err(rejection) => return Decoded::rejected(rejection),
    };
    let mut decoded = Decoded::default();
    let count = elements.len();
    let context = bytes_in_headers(record) + record.key.as_ref().map_or(0, Bytes::len);
    if context * count > MAX_BATCH_CONTEXT_BYTES {
        let message = format!(
            "the batch has {count} events, and {context} bytes of key and headers that belong to each: write fewer of either"
        );
        return Decoded::rejected(Rejection { reason: RejectReason::TooLarge, message });
    }
    for (index, element) in elements.iter().enumerate() {
        let parts = Members::parse(element).and_then(|members| structured(source, &members, element));
        match parts.and_then(|parts| event(source, record, element, parts, Some(index))) {
            Ok(event) => decoded.events.push(event),
            Err(rejection) => decoded.rejections.push(rejection.of_event(index, count)),
        }
    }
    decoded
}

/// The members of a JSON object; none of anything else in JSON, if the source says where the payload is.
fn members<'a>(source: &SourceConfig, value: &'a Bytes) -> Result<Members<'a>, Rejection> {
    let is_object = value.trim_ascii_start().starts_with(b"{");
    if source.fields.payload.is_some() && !is_object { Ok(Members::default()) } else { Members::parse(value) }
}

/// CloudEvents, Kafka protocol binding 1.0.2, section 3.2.
fn binary(source: &SourceConfig, headers: &Headers, data: Bytes) -> Result<Parts, Rejection> {
    let fields = &source.fields;
    check_specversion(header(headers, "ce_specversion")?.as_deref())?;
    let content_type = match header(headers, "content-type")? {
        Some(content_type) => content_type,
        None if data.is_empty() || is_valid_json(&data) => JSON.to_owned(),
        None => BINARY.to_owned(),
    };
    let time = || header(headers, "ce_time")?.map(|time| rfc3339(&time)).transpose();
    Ok(Parts {
        id: unless(fields.id.is_some(), || header(headers, "ce_id"))?,
        source: header(headers, "ce_source")?,
        event_type: unless(fields.event_type.is_some(), || header(headers, "ce_type"))?,
        tenant: unless(fields.tenant.is_some(), || header(headers, "ce_tenant"))?,
        time: unless(fields.time.is_some(), time)?,
        subject: unless(fields.subject.is_some(), || header(headers, "ce_subject"))?,
        ordering_key: unless(fields.ordering_key.is_some(), || header(headers, "ce_partitionkey"))?,
        data,
        previous: None,
        content_type,
    })
}

/// CloudEvents, JSON format 1.0.2.
fn structured(source: &SourceConfig, members: &Members<'_>, value: &Bytes) -> Result<Parts, Rejection> {
    let fields = &source.fields;
    check_specversion(members.specversion()?.as_deref())?;
    let cloudevent = members.cloudevent(value)?;
    Ok(Parts {
        id: unless(fields.id.is_some(), || members.id())?,
        source: cloudevent.source,
        event_type: unless(fields.event_type.is_some(), || members.event_type())?,
        tenant: unless(fields.tenant.is_some(), || members.tenant())?,
        time: unless(fields.time.is_some(), || members.time())?,
        subject: unless(fields.subject.is_some(), || members.subject())?,
        ordering_key: unless(fields.ordering_key.is_some(), || members.partitionkey())?,
        data: cloudevent.data,
        previous: None,
        content_type: cloudevent.content_type.unwrap_or_else(|| JSON.to_owned()),
    })
}

fn plain(source: &SourceConfig, headers: &Headers, members: &Members<'_>, value: &Bytes) -> Result<Parts, Rejection> {
    let fields = &source.fields;
    let data = match members.data {
        _ if fields.payload.is_some() => Bytes::new(),
        Some(data) => value.slice_ref(data.get().as_bytes()),
        None => {
            return Err(Rejection::undecodable(
                "there is no 'data': put the event's payload there (null if it has none), or say by 'fields.payload' of the source where it is",
            ));
        }
    };
    let previous = members.previous.filter(|_| fields.previous.is_none());
    let or_header =
        |member: Option<String>, name: &str| member.map_or_else(|| header(headers, name), |it| Ok(Some(it)));
    Ok(Parts {
        id: unless(fields.id.is_some(), || or_header(members.id()?, "id"))?,
        source: None,
        event_type: unless(fields.event_type.is_some(), || or_header(members.event_type()?, "type"))?,
        tenant: unless(fields.tenant.is_some(), || or_header(members.tenant()?, "tenant"))?,
        time: unless(fields.time.is_some(), || members.timestamp())?,
        subject: unless(fields.subject.is_some(), || members.subject())?,
        ordering_key: None,
        data,
        previous: previous.map(|previous| value.slice_ref(previous.get().as_bytes())),
        content_type: JSON.to_owned(),
    })
}

fn plain_avro(source: &SourceConfig, headers: &Headers, avro: &AvroJson) -> Result<Parts, Rejection> {
    let fields = &source.fields;
    let event_type = || Ok(Some(header(headers, "type")?.unwrap_or_else(|| avro.name.clone())));
    Ok(Parts {
        id: unless(fields.id.is_some(), || header(headers, "id"))?,
        event_type: unless(fields.event_type.is_some(), event_type)?,
        tenant: unless(fields.tenant.is_some(), || header(headers, "tenant"))?,
        data: avro.json.clone(),
        content_type: JSON.to_owned(),
        ..Parts::default()
    })
}

/// What the format has, unless it is said to be elsewhere.
fn unless<T>(elsewhere: bool, part: impl FnOnce() -> Result<Option<T>, Rejection>) -> Result<Option<T>, Rejection> {
    if elsewhere { Ok(None) } else { part() }
}

/// The event of a record, or number `index` of its events. Pointers lead into `value`.
fn event(
    source: &SourceConfig,
    record: &Record,
    value: &Bytes,
    mut parts: Parts,
    index: Option<usize>,
) -> Result<Event, Rejection> {
    source.fields.apply(&mut parts, record, value)?;
    check_data(&parts)?;
    let event_type = parts.event_type.unwrap_or_default();
    validate_event_type(&event_type)
        .map_err(|error| Rejection { reason: RejectReason::EventType, message: error.to_string() })?;
    let tenant = tenant(parts.tenant.as_deref(), source.tenant.as_ref())?;
    let coordinates = record.coordinates();
    let id: EventId = match (parts.id.as_deref().filter(|id| !id.is_empty()), index) {
        (Some(id), _) => event_id(&source.name, parts.source.as_deref(), id),
        (None, None) => event_id_from_coordinates(&source.name, &coordinates, record.timestamp),
        (None, Some(index)) => event_id_in_batch(&source.name, &coordinates, record.timestamp, index),
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
mod fuzz;
#[cfg(test)]
mod tests;
