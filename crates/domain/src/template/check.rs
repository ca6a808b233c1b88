//! Checking a template: what passes can be instantiated with any values that its parameters allow.

use std::collections::{BTreeMap, HashSet};

use super::{
    bind,
    document::{Auth, Document, Parameter},
    text::{Piece, Text, is_name},
    url_text::{self, Place, places},
    values::pattern,
};
use crate::{
    Timestamp,
    custom_header::{check_custom_header, check_custom_header_name, check_signature_header},
    endpoint::SigningStyle,
    pattern::{TypePattern, validate_event_type},
};

/// The most parameters of a template.
pub const MAX_PARAMETERS: usize = 30;
/// The largest template, in bytes of JSON.
pub const MAX_TEMPLATE_BYTES: usize = 256 << 10;

/// The most headers: one less than an endpoint may have, for the one of `auth`.
const MAX_HEADERS: usize = 19;
/// The header of HTTP's own authentication.
const AUTHORIZATION: &str = "Authorization";
const MAX_EVENT_TYPES: usize = 100;
const MAX_NAME_CHARACTERS: usize = 200;
const MAX_TEXT_CHARACTERS: usize = 2_000;

/// A template that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub(super) document: Document,
    pub(super) event_types: Vec<TypePattern>,
}

/// Why a template can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct InvalidTemplate {
    /// The offending value, as a JSON pointer into the template.
    pub at: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

impl InvalidTemplate {
    fn new(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at: at.into(), why: why.into() }
    }
}

impl Template {
    /// Checks a document.
    pub fn new(document: Document) -> Result<Self, InvalidTemplate> {
        let bytes = serde_json::to_vec(&document).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_TEMPLATE_BYTES {
            return Err(InvalidTemplate::new("", format!("the template is over {MAX_TEMPLATE_BYTES} bytes")));
        }
        check_texts(&document)?;
        check_parameters(&document.parameters)?;
        let mut uses = Uses { parameters: &document.parameters, used: HashSet::new() };
        check_url(&document.url, &mut uses)?;
        check_headers(&document, &mut uses)?;
        check_mapping(&document, &mut uses)?;
        uses.check_all_used()?;
        let event_types = event_types(&document.event_types)?;
        check_sample(&document)?;
        let template = Self { document, event_types };
        template.check_examples()?;
        Ok(template)
    }

    /// As it was written.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The same, without the check.
    pub fn into_document(self) -> Document {
        self.document
    }

    /// The event types that it is meant for.
    pub fn event_types(&self) -> &[TypePattern] {
        &self.event_types
    }

    /// The parameter that decides which host deliveries go to, if one does.
    pub fn host_parameter(&self) -> Option<&str> {
        url_text::host_parameter(&places(&self.document.url).unwrap_or_default())
    }

    /// The parameters' examples.
    pub fn examples(&self) -> BTreeMap<&str, &str> {
        self.document.parameters.iter().map(|it| (it.name.as_str(), it.example.as_str())).collect()
    }

    /// Instantiates it with the examples: shows what is wrong with what the template itself says.
    fn check_examples(&self) -> Result<(), InvalidTemplate> {
        let index = |name: &str| self.document.parameters.iter().position(|parameter| parameter.name == name);
        self.instantiate(&self.examples()).map(|_| ()).map_err(|error| match index(error.parameter()) {
            Some(index) => InvalidTemplate::new(format!("/parameters/{index}/example"), error.to_string()),
            None => InvalidTemplate::new("/parameters", error.to_string()),
        })
    }
}

/// Which parameters there are, and which were met.
struct Uses<'a> {
    parameters: &'a [Parameter],
    used: HashSet<&'a str>,
}

impl Uses<'_> {
    /// A parameter is met at `at`, where what is shown and stored is `open` or not.
    fn meet(&mut self, name: &str, at: &str, open: bool) -> Result<(), InvalidTemplate> {
        let Some(parameter) = self.parameters.iter().find(|parameter| parameter.name == name) else {
            return Err(InvalidTemplate::new(
                at,
                format!("there is no parameter '{name}': declare it in 'parameters'"),
            ));
        };
        if open && parameter.secret {
            let why =
                format!("'{name}' is secret, and what stands here is not: put it into a header, the path or the query");
            return Err(InvalidTemplate::new(at, why));
        }
        self.used.insert(&parameter.name);
        Ok(())
    }

    /// The value of the header `name`, which is kept sealed.
    fn meet_header(&mut self, name: &str, value: &str, at: &str) -> Result<(), InvalidTemplate> {
        let parsed = Text::parse(value).map_err(|why| InvalidTemplate::new(at, why))?;
        if parsed.parameters().next().is_none() {
            check_custom_header(name, value).map_err(|error| InvalidTemplate::new(at, error.to_string()))?;
        }
        parsed.parameters().try_for_each(|name| self.meet(name, at, false))
    }

    fn check_all_used(&self) -> Result<(), InvalidTemplate> {
        let unused = self.parameters.iter().position(|parameter| !self.used.contains(parameter.name.as_str()));
        match unused {
            Some(index) => {
                let why = "is used nowhere: put it into the URL, a header, 'auth' or the mapping, or remove it";
                Err(InvalidTemplate::new(format!("/parameters/{index}"), why))
            }
            None => Ok(()),
        }
    }
}

fn check_texts(document: &Document) -> Result<(), InvalidTemplate> {
    if document.name.trim().is_empty() || document.name.chars().any(char::is_control) {
        return Err(InvalidTemplate::new("/name", "is empty or has control characters"));
    }
    let documentation = document.documentation.as_deref().unwrap_or_default();
    let lengths = [
        ("/name", document.name.as_str(), MAX_NAME_CHARACTERS),
        ("/description", &document.description, MAX_TEXT_CHARACTERS),
        ("/documentation", documentation, MAX_TEXT_CHARACTERS),
    ];
    for (at, text, most) in lengths {
        if text.chars().nth(most).is_some() {
            return Err(InvalidTemplate::new(at, format!("has more than {most} characters")));
        }
    }
    if !documentation.is_empty() && !documentation.starts_with("https://") {
        return Err(InvalidTemplate::new("/documentation", "has to be an https:// URL"));
    }
    Ok(())
}

fn check_parameters(parameters: &[Parameter]) -> Result<(), InvalidTemplate> {
    if parameters.len() > MAX_PARAMETERS {
        return Err(InvalidTemplate::new("/parameters", format!("has more than {MAX_PARAMETERS} parameters")));
    }
    let mut names = HashSet::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let refused = |field: &str, why: String| Err(InvalidTemplate::new(format!("/parameters/{index}/{field}"), why));
        if !is_name(&parameter.name) {
            return refused("name", "use up to 64 lower-case letters, digits and '_', a letter first".to_owned());
        }
        if !names.insert(parameter.name.as_str()) {
            return refused("name", format!("'{}' is there twice", parameter.name));
        }
        if parameter.description.trim().is_empty() || parameter.description.chars().nth(MAX_TEXT_CHARACTERS).is_some() {
            return refused("description", format!("say what it is, in at most {MAX_TEXT_CHARACTERS} characters"));
        }
        if parameter.secret && parameter.default.is_some() {
            return refused("default", "a secret has no default: remove it".to_owned());
        }
        if let Some(source) = &parameter.pattern {
            let Ok(compiled) = pattern(source) else {
                return refused("pattern", pattern(source).err().unwrap_or_default());
            };
            if parameter.default.as_ref().is_some_and(|default| !compiled.is_match(default)) {
                return refused("default", "does not match the pattern".to_owned());
            }
        }
    }
    Ok(())
}

fn check_url(text: &str, uses: &mut Uses<'_>) -> Result<(), InvalidTemplate> {
    let refused = |why: String| InvalidTemplate::new("/url", why);
    let pieces = places(text).map_err(refused)?;
    for (piece, place) in &pieces {
        if let Piece::Parameter(name) = piece {
            uses.meet(name, "/url", *place == Place::Host)?;
        }
    }
    if let [(Piece::Plain(whole), _)] = pieces[..] {
        url_text::checked(whole).map_err(refused)?;
    }
    Ok(())
}

fn check_headers(document: &Document, uses: &mut Uses<'_>) -> Result<(), InvalidTemplate> {
    if document.headers.len() > MAX_HEADERS {
        return Err(InvalidTemplate::new("/headers", format!("has more than {MAX_HEADERS} headers")));
    }
    let mut names: HashSet<String> = check_auth(&document.auth, uses)?.into_iter().collect();
    for (name, value) in &document.headers {
        let at = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        check_custom_header_name(name).map_err(|error| InvalidTemplate::new(&at, error.to_string()))?;
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(InvalidTemplate::new(
                at,
                "is there twice: names are the same in any case, and 'auth' has one too",
            ));
        }
        uses.meet_header(name, value, &at)?;
    }
    if let SigningStyle::Hmac { header, .. } = &document.signing {
        let at = "/signing/hmac/header";
        check_signature_header(header).map_err(|error| InvalidTemplate::new(at, error.to_string()))?;
        if names.contains(&header.to_ascii_lowercase()) {
            return Err(InvalidTemplate::new(at, "the header holds something else already: choose another one"));
        }
    }
    Ok(())
}

/// The name of the header that `auth` makes, in lower case.
fn check_auth(auth: &Auth, uses: &mut Uses<'_>) -> Result<Option<String>, InvalidTemplate> {
    let name = match auth {
        Auth::None => return Ok(None),
        Auth::Bearer { token } => {
            uses.meet_header(AUTHORIZATION, token, "/auth/bearer/token")?;
            AUTHORIZATION
        }
        Auth::Basic { username, password } => {
            uses.meet_header(AUTHORIZATION, username, "/auth/basic/username")?;
            uses.meet_header(AUTHORIZATION, password, "/auth/basic/password")?;
            if username.contains(':') {
                return Err(InvalidTemplate::new(
                    "/auth/basic/username",
                    "has a ':', which ends a user name: remove it",
                ));
            }
            AUTHORIZATION
        }
        Auth::Header { name, value } => {
            let at = "/auth/header/name";
            check_custom_header_name(name).map_err(|error| InvalidTemplate::new(at, error.to_string()))?;
            uses.meet_header(name, value, "/auth/header/value")?;
            name
        }
    };
    Ok(Some(name.to_ascii_lowercase()))
}

fn check_mapping(document: &Document, uses: &mut Uses<'_>) -> Result<(), InvalidTemplate> {
    let Some(mapping) = &document.mapping else { return Ok(()) };
    if mapping.get("method").is_some() {
        return Err(InvalidTemplate::new("/mapping/method", "the method is the template's: say it in 'method'"));
    }
    for (at, name) in bind::parameters(mapping) {
        let at = format!("/mapping{at}");
        let name = name.ok_or_else(|| {
            InvalidTemplate::new(&at, "has to be {\"$parameter\": \"name\"}, the name of a parameter and nothing else")
        })?;
        uses.meet(name, &at, true)?;
    }
    // The examples stand for any values: each becomes a constant text.
    super::instantiate::mapping_with_examples(document)
        .map_err(|(at, why)| InvalidTemplate::new(format!("/mapping{at}"), why))
}

fn event_types(texts: &[String]) -> Result<Vec<TypePattern>, InvalidTemplate> {
    if texts.is_empty() || texts.len() > MAX_EVENT_TYPES {
        return Err(InvalidTemplate::new("/event_types", format!("has to have 1 to {MAX_EVENT_TYPES} event types")));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse::<TypePattern>()
            .map_err(|error| InvalidTemplate::new(format!("/event_types/{index}"), error.to_string()))
    };
    texts.iter().enumerate().map(parse).collect()
}

fn check_sample(document: &Document) -> Result<(), InvalidTemplate> {
    let Some(sample) = &document.sample else { return Ok(()) };
    let event = &sample.event;
    validate_event_type(&event.event_type)
        .map_err(|error| InvalidTemplate::new("/sample/event/type", error.to_string()))?;
    if event.time.as_deref().is_some_and(|time| Timestamp::parse_rfc3339(time).is_none()) {
        return Err(InvalidTemplate::new("/sample/event/time", "is no RFC 3339 time, as 2026-01-31T12:00:00Z"));
    }
    Ok(())
}
