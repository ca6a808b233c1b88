//! Checks of values that came in requests. Each error names the field and says what is allowed.

use std::{net::IpAddr, time::Duration};

use postrider_domain::{
    egress::{Target, UrlRefused},
    filter::Filter,
    mapping::Mapping,
    pattern::TypePattern,
};

use super::{
    problem::{Problem, ProblemKind},
    schema::{FilterJson, MappingJson},
    state::ApiState,
};
use crate::{manage::ManageError, security::SecurityKind};

/// The longest name.
pub(crate) const MAX_NAME_CHARACTERS: usize = 200;
/// The longest description.
pub(crate) const MAX_DESCRIPTION_CHARACTERS: usize = 2_000;
/// The most event types of one subscription.
pub(crate) const MAX_EVENT_TYPES: usize = 100;
/// The longest deadline of one attempt, milliseconds.
pub(crate) const MAX_TIMEOUT_MS: u32 = 60_000;
/// The usual one.
pub(crate) const DEFAULT_TIMEOUT_MS: u32 = 30_000;
/// The shortest.
pub(crate) const MIN_TIMEOUT_MS: u32 = 1_000;

/// How long a host's addresses are waited for; after that it counts as one that does not resolve yet.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A name: 1 to 200 characters on one line.
pub(crate) fn name(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::field(field, "must not be empty"));
    }
    line(field, text, MAX_NAME_CHARACTERS)?;
    Ok(text.to_owned())
}

/// A text of at most `max_characters` without control characters.
pub(crate) fn line(field: &str, text: &str, max_characters: usize) -> Result<(), Problem> {
    length(field, text, max_characters)?;
    if text.chars().any(char::is_control) {
        return Err(Problem::field(field, "must not have control characters"));
    }
    Ok(())
}

/// A description: at most 2,000 characters; line breaks are welcome.
pub(crate) fn description(field: &str, text: String) -> Result<String, Problem> {
    length(field, &text, MAX_DESCRIPTION_CHARACTERS)?;
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
        return Err(Problem::field(field, "must not have control characters other than line breaks and tabs"));
    }
    Ok(text)
}

fn length(field: &str, text: &str, max_characters: usize) -> Result<(), Problem> {
    let characters = text.chars().count();
    if characters > max_characters {
        return Err(Problem::field(
            field,
            format!("has {characters} characters, at most {max_characters} are allowed"),
        ));
    }
    Ok(())
}

/// The deadline of one attempt.
pub(crate) fn timeout_ms(field: &str, value: u32) -> Result<u32, Problem> {
    if (MIN_TIMEOUT_MS..=MAX_TIMEOUT_MS).contains(&value) {
        Ok(value)
    } else {
        Err(Problem::field(field, format!("must be {MIN_TIMEOUT_MS} to {MAX_TIMEOUT_MS} milliseconds")))
    }
}

/// A subscription's event types.
pub(crate) fn event_types(field: &str, texts: &[String]) -> Result<Vec<TypePattern>, Problem> {
    if texts.is_empty() {
        return Err(Problem::field(field, "needs at least one event type; '*' takes all"));
    }
    if texts.len() > MAX_EVENT_TYPES {
        return Err(Problem::field(
            field,
            format!("has {} entries, at most {MAX_EVENT_TYPES} are allowed", texts.len()),
        ));
    }
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            text.parse().map_err(|error| Problem::field(format!("{field}/{index}"), format!("{error}")))
        })
        .collect()
}

/// A subscription's filter; the error names the offending condition.
pub(crate) fn filter(field: &str, json: &FilterJson) -> Result<Filter, Problem> {
    Filter::from_json(&json.0).map_err(|error| Problem::field(format!("{field}{}", error.path), error.message))
}

/// A subscription's mapping; the error names the offending expression.
pub(crate) fn mapping(field: &str, json: &MappingJson) -> Result<Mapping, Problem> {
    Mapping::from_json(&json.0).map_err(|error| Problem::field(format!("{field}{}", error.path), error.message))
}

/// An endpoint's URL: of an allowed form, and to no address that deliveries may not reach. A host that does
/// not resolve (yet) is accepted: deliveries to it are retried.
pub(crate) async fn url(field: &str, text: &str, state: &ApiState) -> Result<Target, Problem> {
    let target = state.egress.check_url(text).map_err(|error| {
        let problem = Problem::field(field, error.to_string());
        match error {
            UrlRefused::Address(_) | UrlRefused::Name(_) => problem.noting(SecurityKind::SsrfRefused),
            _ => problem,
        }
    })?;
    if let Some(host) = target.url.domain() {
        let lookup = tokio::time::timeout(RESOLVE_TIMEOUT, state.resolver.resolve(host)).await;
        let addresses: Vec<IpAddr> = lookup.ok().and_then(Result::ok).unwrap_or_default();
        if let Some(refused) = addresses.into_iter().find(|address| !state.egress.permits(*address)) {
            return Err(Problem::field(
                field,
                format!(
                    "the host resolves to {refused}, which is not a public address; use a public host, or have the \
                     operator add its network to egress.allowed_networks"
                ),
            )
            .noting(SecurityKind::SsrfRefused));
        }
    }
    Ok(target)
}

/// What a change that was not made is to the caller; `id` is what had to exist.
pub(crate) fn not_managed(error: ManageError, id: &str) -> Problem {
    match error {
        ManageError::NotFound(what) => Problem::not_found(what, id),
        ManageError::Changed { .. } => Problem::new(ProblemKind::PreconditionFailed, error.to_string()).at("If-Match"),
        ManageError::Conflict(message) => Problem::new(ProblemKind::Conflict, message),
        ManageError::TooManySubscriptions(_) => Problem::field("/endpoint_id", error.to_string()),
        ManageError::Setting { field, message } => Problem::field(field, message),
        ManageError::Value { field, message } => Problem::field(field, message),
        ManageError::Sealed { .. } => Problem::internal(&error),
        ManageError::Database(error) => error.into(),
    }
}
