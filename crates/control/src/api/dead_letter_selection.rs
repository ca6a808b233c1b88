//! Which dead letters a request is about.

use poem_openapi::{Object, types::Example};
use postrider_domain::{EndpointId, ErrorClass, MessageId, TenantId, Timestamp};
use postrider_postgres::{
    PgConnection,
    dead_letters::{DeadLetterFilter, DeadLetterState},
    endpoints,
};
use serde::Deserialize;

use super::{
    dead_letter_types::{EXAMPLE_ENDPOINT, EXAMPLE_MESSAGE},
    problem::Problem,
    replay_types::default_rate,
    schema::Time,
};

const EXAMPLE_TIME: Time = Time(Timestamp::from_millis(1_769_860_800_000));
/// The most messages that are selected by id.
const MAX_MESSAGES: usize = 1_000;

/// Which dead letters: all that every given field fits; without any, all that are open.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct RedriveInput {
    /// Those of these messages.
    #[oai(validator(min_items = 1, max_items = 1000))]
    message_ids: Option<Vec<String>>,
    /// Those to this endpoint.
    endpoint_id: Option<String>,
    /// Those of exactly this event type.
    #[oai(validator(max_length = 256))]
    event_type: Option<String>,
    /// Those that failed for this reason.
    error_class: Option<String>,
    /// Those that ended at or after this time.
    since: Option<Time>,
    /// Those that ended before this time.
    until: Option<Time>,
    /// Only count, and show a sample.
    #[serde(default)]
    #[oai(default)]
    pub dry_run: bool,
    /// Deliveries a second at most.
    #[serde(default = "default_rate")]
    #[oai(default = "default_rate", validator(minimum(value = "1")))]
    pub rate_per_second: u32,
}

impl Example for RedriveInput {
    fn example() -> Self {
        Self {
            message_ids: None,
            endpoint_id: Some(EXAMPLE_ENDPOINT.to_owned()),
            event_type: None,
            error_class: Some("timeout".to_owned()),
            since: Some(EXAMPLE_TIME),
            until: None,
            dry_run: true,
            rate_per_second: default_rate(),
        }
    }
}

/// Which dead letters to give up: all that every given field fits. At least one is needed.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct PurgeInput {
    /// Those of these messages.
    #[oai(validator(min_items = 1, max_items = 1000))]
    message_ids: Option<Vec<String>>,
    /// Those to this endpoint.
    endpoint_id: Option<String>,
    /// Those of exactly this event type.
    #[oai(validator(max_length = 256))]
    event_type: Option<String>,
    /// Those that failed for this reason.
    error_class: Option<String>,
    /// Those that ended at or after this time.
    since: Option<Time>,
    /// Those that ended before this time.
    until: Option<Time>,
    /// Only count.
    #[serde(default)]
    #[oai(default)]
    pub dry_run: bool,
}

impl Example for PurgeInput {
    fn example() -> Self {
        Self {
            message_ids: Some(vec![EXAMPLE_MESSAGE.to_owned()]),
            endpoint_id: None,
            event_type: None,
            error_class: None,
            since: None,
            until: None,
            dry_run: false,
        }
    }
}

/// What was given up.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Purged {
    /// How many were given up; of a dry run 0.
    pub purged: i64,
    /// How many still fit: more are open than are given up at once (10,000), or it was a dry run. Ask again for the rest.
    pub left: i64,
}

impl Example for Purged {
    fn example() -> Self {
        Self { purged: 412, left: 0 }
    }
}

/// A selection of open dead letters, as both requests have it.
struct Selection<'a> {
    message_ids: Option<&'a [String]>,
    endpoint_id: Option<&'a str>,
    event_type: Option<&'a str>,
    error_class: Option<&'a str>,
    since: Option<Time>,
    until: Option<Time>,
}

impl Selection<'_> {
    fn check(self) -> Result<DeadLetterFilter, Problem> {
        let messages = self.message_ids.map(message_ids).transpose()?;
        let (since, until) = (self.since.map(|time| time.0), self.until.map(|time| time.0));
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            return Err(Problem::field("/until", "is not after since"));
        }
        if self.event_type.is_some_and(|text| text.contains('\0')) {
            return Err(Problem::field("/event_type", "contains NUL; remove it"));
        }
        let endpoint =
            |text: &str| text.parse::<EndpointId>().map_err(|error| Problem::field("/endpoint_id", error.to_string()));
        let class =
            |text: &str| text.parse::<ErrorClass>().map_err(|error| Problem::field("/error_class", error.to_string()));
        Ok(DeadLetterFilter {
            state: Some(DeadLetterState::Open),
            messages,
            endpoint: self.endpoint_id.map(endpoint).transpose()?,
            event_type: self.event_type.map(ToOwned::to_owned),
            error: self.error_class.map(class).transpose()?,
            since,
            until,
            job: None,
        })
    }
}

impl RedriveInput {
    /// Checks every value.
    pub(super) fn check(&self) -> Result<DeadLetterFilter, Problem> {
        let selection = Selection {
            message_ids: self.message_ids.as_deref(),
            endpoint_id: self.endpoint_id.as_deref(),
            event_type: self.event_type.as_deref(),
            error_class: self.error_class.as_deref(),
            since: self.since,
            until: self.until,
        };
        selection.check()
    }
}

impl PurgeInput {
    /// Checks every value. What is given up can't be had back: everything at once has to be asked for by a time.
    pub(super) fn check(&self) -> Result<DeadLetterFilter, Problem> {
        let selection = Selection {
            message_ids: self.message_ids.as_deref(),
            endpoint_id: self.endpoint_id.as_deref(),
            event_type: self.event_type.as_deref(),
            error_class: self.error_class.as_deref(),
            since: self.since,
            until: self.until,
        };
        let filter = selection.check()?;
        let all = DeadLetterFilter { state: Some(DeadLetterState::Open), ..DeadLetterFilter::default() };
        if filter == all {
            return Err(Problem::field(
                "",
                "say which: give message_ids, endpoint_id, event_type, error_class, since or until",
            ));
        }
        Ok(filter)
    }
}

fn message_ids(texts: &[String]) -> Result<Vec<MessageId>, Problem> {
    if texts.is_empty() || texts.len() > MAX_MESSAGES {
        return Err(Problem::field("/message_ids", format!("must have 1 to {MAX_MESSAGES} entries")));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse().map_err(|error| Problem::field(format!("/message_ids/{index}"), format!("{error}")))
    };
    texts.iter().enumerate().map(parse).collect()
}

/// Refuses a selection of an endpoint that the tenant does not have.
pub(super) async fn has_endpoint(
    conn: &mut PgConnection,
    tenant: &TenantId,
    filter: &DeadLetterFilter,
) -> Result<(), Problem> {
    let Some(endpoint) = &filter.endpoint else { return Ok(()) };
    match endpoints::get(conn, tenant, endpoint).await? {
        Some(_) => Ok(()),
        None => Err(Problem::not_found("endpoint", endpoint.as_str()).at("/endpoint_id")),
    }
}
