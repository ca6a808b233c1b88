//! The request that an instance makes of an event.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::{Concealed, Instance, SampleEvent};
use crate::{
    Event, EventId, SourceCoordinates, TenantId, Timestamp,
    delivery::{Header, Method},
    envelope::{Rendered, render},
    filter::EventView,
    mapping::{Mapped, MappingError},
};

/// What a sample's event comes from where it does not say.
const SAMPLE_SOURCE: &str = "sample";
/// What its id is where it does not say.
const SAMPLE_ID: &str = "evt_sample";

/// A request, without the headers of signature and attempt, which are other in each.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedRequest {
    /// Its method.
    pub method: Method,
    /// Its URL.
    pub url: Concealed,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, Concealed>,
    /// Its body.
    pub body: Bytes,
}

impl Instance {
    /// The request that becomes of an event.
    pub fn request(&self, event: &Event) -> Result<RenderedRequest, MappingError> {
        let nothing = Mapped { body: None, headers: Vec::new(), path: None, method: None };
        let mapped = self.mapping.as_ref().map(|mapping| mapping.render(&EventView::new(event))).transpose()?;
        let Mapped { body, headers, path, method } = mapped.unwrap_or(nothing);
        let rendered = match body {
            Some(body) => Rendered { content_type: "application/json".to_owned(), headers: Vec::new(), body },
            None => render(event, self.body),
        };
        let content_type = Header { name: "content-type".to_owned(), value: rendered.content_type };
        let open = rendered.headers.into_iter().chain(headers).chain([content_type]);
        let open = open.map(|Header { name, value }| (name, Concealed::new(value.clone(), value)));
        let own = self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        Ok(RenderedRequest {
            method: method.unwrap_or_default(),
            url: path.map_or_else(|| self.url.clone(), |path| self.url.map(|url| below(url, &path))),
            headers: open.chain(own).collect(),
            body: rendered.body,
        })
    }
}

/// A URL with a path appended to its own.
fn below(url: &str, path: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let base = base.trim_end_matches('/');
    query.map_or_else(|| format!("{base}/{path}"), |query| format!("{base}/{path}?{query}"))
}

impl SampleEvent {
    /// The event of a tenant; what it does not say of itself is made up, its time `now`.
    pub fn event(&self, tenant: TenantId, now: Timestamp) -> Event {
        let id = self.id.as_deref().unwrap_or(SAMPLE_ID);
        let json = |value: &Value| Bytes::from(value.to_string());
        Event {
            id: EventId::from_trusted(id),
            producer_id: Some(id.to_owned()),
            source: self.source.clone().unwrap_or_else(|| SAMPLE_SOURCE.to_owned()),
            tenant,
            event_type: self.event_type.clone(),
            time: self.time.as_deref().and_then(Timestamp::parse_rfc3339).unwrap_or(now),
            subject: self.subject.clone(),
            ordering_key: None,
            data: json(&self.data),
            previous: self.previous.as_ref().map(json),
            content_type: "application/json".to_owned(),
            coordinates: SourceCoordinates { topic: SAMPLE_SOURCE.into(), partition: 0, offset: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_between_a_urls_own_and_its_query() {
        let table = [
            ("https://a.example/", "b", "https://a.example/b"),
            ("https://a.example/x", "b/c", "https://a.example/x/b/c"),
            ("https://a.example/x/?q=1/2?3", "b", "https://a.example/x/b?q=1/2?3"),
        ];
        for (url, path, expected) in table {
            assert_eq!(below(url, path), expected);
        }
    }
}
