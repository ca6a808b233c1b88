//! The records of `postrider.endpoint-state` as they are written and read.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{
    EndpointId, TenantId,
    endpoint_state::{EndpointState, StateTerm},
};
use postrider_kafka::{Codec, DecodeError, Fingerprint, Headers, Outgoing, Record};

/// The term of a record's writer, also where there is no value to say it.
const TERM: &str = "pr-term";
/// The endpoint's tenant, likewise.
const TENANT: &str = "pr-tenant";

/// Where and how a journal's records are written.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub codec: Codec,
    pub topic: Arc<str>,
    pub partition: i32,
}

impl Form {
    pub(super) fn term(&self, term: &StateTerm) -> Outgoing {
        let mut headers = Headers::new();
        headers.push(TERM, Bytes::from(term.term.to_string()));
        self.record(StateTerm::KEY, Some(self.codec.encode(term)), headers)
    }

    /// A tombstone if there is nothing to remember.
    pub(crate) fn state(&self, state: &EndpointState) -> Outgoing {
        let mut headers = Headers::new();
        headers.push(TERM, Bytes::from(state.term.to_string()));
        headers.push(TENANT, Bytes::copy_from_slice(state.tenant.as_str().as_bytes()));
        let value = (!state.is_empty()).then(|| self.codec.encode(state));
        self.record(state.endpoint.as_str(), value, headers)
    }

    fn record(&self, key: &str, value: Option<Bytes>, headers: Headers) -> Outgoing {
        Outgoing {
            topic: self.topic.clone(),
            partition: Some(self.partition),
            key: Bytes::copy_from_slice(key.as_bytes()),
            value,
            headers,
        }
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// Somebody became the partition's owner.
    Term(StateTerm),
    /// What an owner of this term remembered of an endpoint; none: nothing.
    State(Written, Option<EndpointState>),
    /// It can't be decoded ever.
    Corrupt(Option<Written>, String),
    /// Nothing.
    Nothing,
}

/// Whose record it is, and of which term its writer was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub endpoint: EndpointId,
    /// None: the record does not say.
    pub tenant: Option<TenantId>,
    /// Lower than any, if the record does not say: nothing that an owner wrote.
    pub term: i64,
}

/// What `record` says. Error: its schema is not known yet.
pub(super) fn decode(record: &Record, codec: &Codec) -> Result<Entry, Fingerprint> {
    let Some(key) = record.key_str() else {
        return Ok(Entry::Corrupt(None, "its key is not an endpoint id".to_owned()));
    };
    if key == StateTerm::KEY {
        let Some(value) = &record.value else { return Ok(Entry::Nothing) };
        return match codec.decode(value) {
            Ok(term) => Ok(Entry::Term(term)),
            Err(DecodeError::UnknownSchema(fingerprint)) => Err(fingerprint),
            Err(DecodeError::Corrupt(message)) => Ok(Entry::Corrupt(None, message)),
        };
    }
    if !key.starts_with(EndpointId::PREFIX) {
        return Ok(Entry::Corrupt(None, "its key is not an endpoint id".to_owned()));
    }
    let written = written(record, key);
    let Some(value) = &record.value else { return Ok(Entry::State(written, None)) };
    match codec.decode::<EndpointState>(value) {
        Ok(state) if state.endpoint != written.endpoint => {
            Ok(Entry::Corrupt(Some(written), "its key and its value name different endpoints".to_owned()))
        }
        Ok(state) => {
            let written = Written { tenant: Some(state.tenant.clone()), term: state.term, ..written };
            Ok(Entry::State(written, Some(state)))
        }
        Err(DecodeError::UnknownSchema(fingerprint)) => Err(fingerprint),
        Err(DecodeError::Corrupt(message)) => Ok(Entry::Corrupt(Some(written), message)),
    }
}

/// The term that a record's header names.
pub(super) fn term_of(record: &Record) -> Option<i64> {
    record.headers.get_str(TERM).and_then(|term| term.parse().ok())
}

fn written(record: &Record, key: &str) -> Written {
    Written {
        endpoint: EndpointId::from_trusted(key),
        tenant: record.headers.get_str(TENANT).map(TenantId::from_trusted),
        term: term_of(record).unwrap_or(i64::MIN),
    }
}
