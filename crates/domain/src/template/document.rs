//! A template as it is written: the files in `schemas/templates`, and what tenants save.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    delivery::Method,
    endpoint::{BodyStyle, SigningStyle},
};

/// A template before it is checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its name, for people.
    pub name: String,
    /// What it does, and what the platform makes of it.
    #[serde(default)]
    pub description: String,
    /// The platform's reference that it was written from: a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation: Option<String>,
    /// What differs from account to account.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Where deliveries go, with placeholders.
    pub url: String,
    /// The request's method.
    #[serde(default)]
    pub method: Method,
    /// How the sender shows who it is.
    #[serde(default)]
    pub auth: Auth,
    /// Further headers by name; their values may have placeholders.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How requests are signed.
    #[serde(default)]
    pub signing: SigningStyle,
    /// What the body is, unless the mapping has one.
    #[serde(default)]
    pub body: BodyStyle,
    /// The event types that it is meant for, patterns as in a subscription.
    pub event_types: Vec<String>,
    /// A subscription's mapping, in which `{"$parameter": "name"}` is an expression too. Its method is the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Value>,
    /// An event, and the request that it becomes with the parameters' examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// What differs from account to account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// What it is, and where its owner finds it.
    pub description: String,
    /// Whether its value is not to be shown or kept in the clear.
    #[serde(default)]
    pub secret: bool,
    /// A value: the one of the sample.
    pub example: String,
    /// Its value where none is given; without one it has to be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What the whole value has to match: a regular expression of the `regex` crate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// How the sender shows who it is, besides the signature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Not at all, or by the URL.
    #[default]
    None,
    /// `Authorization: Bearer <token>`.
    Bearer {
        /// The token, with placeholders.
        token: String,
    },
    /// `Authorization: Basic <base64 of username:password>`.
    Basic {
        /// The user name, with placeholders.
        username: String,
        /// The password, with placeholders.
        password: String,
    },
    /// A header of the platform's own.
    Header {
        /// Its name.
        name: String,
        /// Its value, with placeholders.
        value: String,
    },
}

/// An event, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The event.
    pub event: SampleEvent,
    /// The request that it becomes with the parameters' examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<SampleRequest>,
}

/// An event, as people write one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleEvent {
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it happened: RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its payload.
    pub data: Value,
    /// The payload before the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Value>,
}

/// A request, without what is other in each attempt: the headers of signature and attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleRequest {
    /// Its method.
    pub method: Method,
    /// Its URL, normalised.
    pub url: String,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body, JSON.
    pub body: Value,
}
