//! What requests and answers about an endpoint's state and its history look like.

use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::Timestamp;
use postrider_postgres::endpoint_history::{HistoryChange, HistoryRow};
use serde::Deserialize;

use super::{endpoint_types::DisabledJson, problem::Problem, schema::Time, validate};

/// The longest reason.
const MAX_REASON_CHARACTERS: usize = 500;

/// Why an endpoint is enabled or disabled.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct StateInput {
    /// Why, in words; it is kept in the endpoint's history.
    #[oai(validator(max_length = 500))]
    reason: Option<String>,
}

/// What changed: `enabled`, `disabled`, `paused` or `resumed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "EndpointChange", rename_all = "snake_case")]
enum ChangeJson {
    Enabled,
    Disabled,
    Paused,
    Resumed,
}

/// A change of what is sent to an endpoint.
#[derive(Debug, Object)]
#[oai(rename = "EndpointHistoryEntry", example)]
pub(super) struct HistoryEntry {
    /// When.
    at: Time,
    /// What.
    change: ChangeJson,
    /// Why, of a disable.
    disabled_reason: Option<DisabledJson>,
    /// What was said to it.
    note: Option<String>,
    /// The id of the API key, `cli`, or `postrider`.
    actor: String,
}

impl StateInput {
    /// Checks every value.
    pub(super) fn check(self) -> Result<Option<String>, Problem> {
        let reason = self.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
        if let Some(reason) = &reason {
            validate::line("/reason", reason, MAX_REASON_CHARACTERS)?;
        }
        Ok(reason)
    }
}

impl From<HistoryRow> for HistoryEntry {
    fn from(row: HistoryRow) -> Self {
        Self {
            at: Time(row.at),
            change: match row.change {
                HistoryChange::Enabled => ChangeJson::Enabled,
                HistoryChange::Disabled => ChangeJson::Disabled,
                HistoryChange::Paused => ChangeJson::Paused,
                HistoryChange::Resumed => ChangeJson::Resumed,
            },
            disabled_reason: row.reason.map(Into::into),
            note: row.note,
            actor: row.actor,
        }
    }
}

impl Example for StateInput {
    fn example() -> Self {
        Self { reason: Some("the warehouse is being moved".to_owned()) }
    }
}

impl Example for HistoryEntry {
    fn example() -> Self {
        Self {
            at: Time(Timestamp::from_millis(1_769_860_800_000)),
            change: ChangeJson::Disabled,
            disabled_reason: Some(DisabledJson::Manual),
            note: Some("the warehouse is being moved".to_owned()),
            actor: "key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
        }
    }
}
