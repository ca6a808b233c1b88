//! What API keys look like in requests and answers.

use ipnet::IpNet;
use poem_openapi::{Object, types::Example};
use postrider_domain::Timestamp;
use postrider_postgres::api_keys::ApiKeyRow;
use serde::Deserialize;

use super::{problem::Problem, schema::Time};
use crate::auth::rate::RateLimit;

/// The most networks of one key.
const MAX_CIDRS: usize = 50;
/// The highest rate limit, and the longest period of one.
const MAX_RATE_REQUESTS: u32 = 1_000_000;
const MAX_RATE_PERIOD_SECONDS: u32 = 86_400;
/// For how long a former text can work after a rotation.
pub(super) const MAX_GRACE_SECONDS: u32 = 7 * 86_400;
pub(super) const DEFAULT_GRACE_SECONDS: u32 = 86_400;

/// How many requests a key may make in any period of a length. Each process of the API counts by itself, up to its
/// share (`api.rate_limit_share`).
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRateLimit {
    /// How many requests.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    pub requests: u32,
    /// In how many seconds.
    #[oai(validator(minimum(value = "1"), maximum(value = "86400")))]
    pub period_seconds: u32,
}

impl Example for KeyRateLimit {
    fn example() -> Self {
        Self { requests: 600, period_seconds: 60 }
    }
}

/// A key that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeyInput {
    /// Its name, for people.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: String,
    /// What it may do: `*` for everything, or a list of a resource and a verb each, such as `endpoints:read` and
    /// `events:publish`; each operation names the scope that it needs. None that the key you use lacks.
    #[oai(validator(min_items = 1, max_items = 50))]
    pub scopes: Vec<String>,
    /// When it stops working; never if not given.
    pub expires_at: Option<Time>,
    /// From which networks it works, in CIDR notation; from everywhere if not given. Behind a proxy, the address is
    /// the one that a trusted proxy (`api.trusted_proxies`) tells in `X-Forwarded-For`.
    #[oai(validator(max_items = 50))]
    #[serde(default)]
    pub allowed_cidrs: Option<Vec<String>>,
    /// How many requests it may make; as many as it likes if not given. What is over the limit is answered with 429
    /// and `Retry-After`, every answer tells `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.
    pub rate_limit: Option<KeyRateLimit>,
}

impl Example for ApiKeyInput {
    fn example() -> Self {
        Self {
            name: "order service".to_owned(),
            scopes: vec!["events:publish".to_owned(), "deliveries:read".to_owned()],
            expires_at: Some(Time(Timestamp::from_millis(1_801_396_800_000))),
            allowed_cidrs: Some(vec!["198.51.100.0/24".to_owned()]),
            rate_limit: Some(KeyRateLimit::example()),
        }
    }
}

/// A key is to get a new text.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationInput {
    /// For how long the former text works beside the new one, in seconds: a day if not given, a week at most, 0 for
    /// not at all. A text from before the former one stops working in any case.
    #[oai(validator(maximum(value = "604800")))]
    pub grace_seconds: Option<u32>,
}

impl Example for RotationInput {
    fn example() -> Self {
        Self { grace_seconds: Some(DEFAULT_GRACE_SECONDS) }
    }
}

/// What a key was used for on one day.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct KeyUsageEntry {
    /// The day (UTC), as `2026-01-31`.
    pub day: String,
    /// Method and path.
    pub route: String,
    /// How many requests.
    pub requests: i64,
    /// How many of them were not let through: over the limit, or from an address that the key does not allow.
    pub refused: i64,
}

impl Example for KeyUsageEntry {
    fn example() -> Self {
        Self { day: "2026-01-31".to_owned(), route: "POST /v1/events".to_owned(), requests: 12_400, refused: 3 }
    }
}

/// What a key was used for, the newest day first.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct KeyUsageList {
    /// By day and route. A few seconds old.
    pub data: Vec<KeyUsageEntry>,
}

impl Example for KeyUsageList {
    fn example() -> Self {
        Self { data: vec![KeyUsageEntry::example()] }
    }
}

/// An API key, without its text.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct ApiKey {
    /// Its id: `key_` and 26 letters and digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public part of its text, to tell keys apart.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it stops working, if ever.
    pub expires_at: Option<Time>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Time>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Time>,
    /// From which networks it works; from everywhere if there is none.
    pub allowed_cidrs: Vec<String>,
    /// How many requests it may make, if there is a limit.
    pub rate_limit: Option<KeyRateLimit>,
    /// When its text was last replaced, if ever.
    pub rotated_at: Option<Time>,
    /// The public part of the text before, while that works too.
    pub previous_prefix: Option<String>,
    /// Until when the text before works.
    pub previous_expires_at: Option<Time>,
}

impl Example for ApiKey {
    fn example() -> Self {
        Self {
            id: "key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            name: "order service".to_owned(),
            prefix: "pr_7f3k9m2q5t8w".to_owned(),
            scopes: vec!["events:publish".to_owned(), "deliveries:read".to_owned()],
            created_at: Time(Timestamp::from_millis(1_769_860_800_000)),
            expires_at: Some(Time(Timestamp::from_millis(1_801_396_800_000))),
            revoked_at: None,
            last_used_at: None,
            allowed_cidrs: vec!["198.51.100.0/24".to_owned()],
            rate_limit: Some(KeyRateLimit::example()),
            rotated_at: None,
            previous_prefix: None,
            previous_expires_at: None,
        }
    }
}

impl From<ApiKeyRow> for ApiKey {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            prefix: format!("pr_{}", row.prefix),
            scopes: row.scopes,
            created_at: Time(row.created_at),
            expires_at: row.expires_at.map(Time),
            revoked_at: row.revoked_at.map(Time),
            last_used_at: row.last_used_at.map(Time),
            allowed_cidrs: row.allowed_cidrs.iter().map(ToString::to_string).collect(),
            rate_limit: row.rate_limit.map(|(requests, period_seconds)| KeyRateLimit { requests, period_seconds }),
            rotated_at: row.rotated_at.map(Time),
            previous_prefix: row.previous.as_ref().map(|previous| format!("pr_{}", previous.prefix)),
            previous_expires_at: row.previous.map(|previous| Time(previous.expires_at)),
        }
    }
}

/// A key just made, with its text.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct CreatedApiKey {
    /// The key.
    #[oai(flatten)]
    pub api_key: ApiKey,
    /// Its text, to be sent as `Authorization: Bearer …`. Shown in this answer only: keep it safe.
    pub key: String,
}

impl Example for CreatedApiKey {
    fn example() -> Self {
        Self {
            api_key: ApiKey::example(),
            key: "pr_7f3k9m2q5t8w_pQ4mY0cX8mJ6m0q0vQ0c1n3b2xk9zFhTgS5uWw7ErLd".to_owned(),
        }
    }
}

/// The networks that a key may be used from.
pub(super) fn networks(texts: &[String]) -> Result<Vec<IpNet>, Problem> {
    if texts.len() > MAX_CIDRS {
        let detail = format!("has {} entries, at most {MAX_CIDRS} are allowed", texts.len());
        return Err(Problem::field("/allowed_cidrs", detail));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse::<IpNet>().map(|network| network.trunc()).map_err(|_| {
            let detail = "is no network in CIDR notation, such as 198.51.100.0/24 or 2001:db8::/32";
            Problem::field(format!("/allowed_cidrs/{index}"), detail)
        })
    };
    texts.iter().enumerate().map(parse).collect()
}

pub(super) fn rate_limit(input: &KeyRateLimit) -> Result<RateLimit, Problem> {
    for (field, value, most) in [
        ("/rate_limit/requests", input.requests, MAX_RATE_REQUESTS),
        ("/rate_limit/period_seconds", input.period_seconds, MAX_RATE_PERIOD_SECONDS),
    ] {
        if !(1..=most).contains(&value) {
            return Err(Problem::field(field, format!("must be 1 to {most}")));
        }
    }
    Ok(RateLimit { requests: input.requests, period_seconds: input.period_seconds })
}
