//! From a template and its parameters' values to what an endpoint is made of.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Template, bind,
    document::{Auth, Document},
    text::Text,
    url_text::{self, places},
    values::{Concealed, HIDDEN, TemplateError, Values},
};
use crate::{
    custom_header::check_custom_header,
    delivery::Method,
    endpoint::{BodyStyle, SigningStyle},
    mapping::{InvalidMapping, Mapping},
    pattern::TypePattern,
};

/// What an endpoint and its subscription are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Where deliveries go. Whether that is allowed is for the egress policy to say.
    pub url: Concealed,
    /// Headers that are sent with every request, that of `auth` among them.
    pub headers: Vec<(String, Concealed)>,
    /// How requests are signed.
    pub signing: SigningStyle,
    /// What the body is, unless the mapping has one.
    pub body: BodyStyle,
    /// What is mapped, method included; none if nothing is.
    pub mapping: Option<Mapping>,
    /// The event types that the template is meant for.
    pub event_types: Vec<TypePattern>,
}

impl Template {
    /// Puts values in the places of the parameters. The error names the parameter and never shows its value.
    pub fn instantiate(&self, given: &BTreeMap<&str, &str>) -> Result<Instance, TemplateError> {
        let document = &self.document;
        let values = Values::new(&document.parameters, given)?;
        let pieces = places(&document.url).expect("the template was checked: its URL can be read");
        Ok(Instance {
            url: url_text::fill(&pieces, &values)?,
            headers: headers(document, &values)?,
            signing: document.signing.clone(),
            body: document.body,
            mapping: mapping(document, &values).map_err(|error| unmapped(document, &error))?,
            event_types: self.event_types.clone(),
        })
    }
}

/// Checks the mapping with the examples in it. Error: the place in it, and what is wrong there.
pub(super) fn mapping_with_examples(document: &Document) -> Result<(), (String, String)> {
    let values = Values::examples(&document.parameters);
    mapping(document, &values).map(|_| ()).map_err(|error| (error.path, error.message))
}

fn mapping(document: &Document, values: &Values<'_>) -> Result<Option<Mapping>, InvalidMapping> {
    let mut json = document.mapping.as_ref().map(|mapping| bind::bind(mapping, values));
    if document.method != Method::default() {
        let json = json.get_or_insert_with(|| json!({}));
        if let Value::Object(members) = json {
            members.insert("method".to_owned(), document.method.as_str().into());
        }
    }
    json.map(|json| Mapping::from_json(&json)).transpose()
}

/// A mapping that was valid with the examples in it is not with these values: one is no header's, or no path's.
fn unmapped(document: &Document, error: &InvalidMapping) -> TemplateError {
    let mapping = document.mapping.as_ref();
    let parameters = mapping.map(bind::parameters).unwrap_or_default();
    let blamed = parameters.iter().find(|(at, _)| error.path.starts_with(at.as_str())).and_then(|(_, name)| *name);
    let why = format!("it can't stand at /mapping{}: {}", error.path, error.message);
    TemplateError::value(blamed.unwrap_or_default(), why)
}

fn headers(document: &Document, values: &Values<'_>) -> Result<Vec<(String, Concealed)>, TemplateError> {
    let auth = auth(&document.auth, values)?;
    let others =
        document.headers.iter().map(|(name, value)| Ok((name.as_str(), filled(value, values), value.as_str())));
    let checked = |header: Result<(&str, Concealed, &str), TemplateError>| {
        let (name, value, source) = header?;
        check_custom_header(name, value.reveal()).map_err(|error| blame(source, error))?;
        Ok::<_, TemplateError>((name.to_owned(), value))
    };
    auth.map(Ok).into_iter().chain(others).map(checked).collect()
}

/// The header of `auth`: its name, its value, and the text that it is of.
fn auth<'a>(auth: &'a Auth, values: &Values<'_>) -> Result<Option<(&'a str, Concealed, &'a str)>, TemplateError> {
    Ok(match auth {
        Auth::None => None,
        Auth::Bearer { token } => {
            let value = filled(token, values);
            let (text, shown) = (format!("Bearer {}", value.reveal()), format!("Bearer {}", value.shown()));
            Some(("Authorization", Concealed::new(text, shown), token.as_str()))
        }
        Auth::Basic { username, password } => {
            let user = filled(username, values);
            if user.reveal().contains(':') {
                return Err(blame(username, "a user name of HTTP's basic authentication has no ':'"));
            }
            let pair = Zeroizing::new(format!("{}:{}", user.reveal(), filled(password, values).reveal()));
            let text = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
            Some(("Authorization", Concealed::new(text, format!("Basic {HIDDEN}")), password.as_str()))
        }
        Auth::Header { name, value } => Some((name.as_str(), filled(value, values), value.as_str())),
    })
}

fn filled(text: &str, values: &Values<'_>) -> Concealed {
    values.fill(&parsed(text))
}

/// What is wrong with a text that the first of its parameters is in.
fn blame(text: &str, why: impl std::fmt::Display) -> TemplateError {
    TemplateError::value(parsed(text).parameters().next().unwrap_or_default(), why)
}

fn parsed(text: &str) -> Text<'_> {
    Text::parse(text).expect("the template was checked: its texts can be read")
}
