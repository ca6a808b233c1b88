//! What tenants look like in requests and answers.

use poem_openapi::{
    Object,
    types::{Example, MaybeUndefined},
};
use postrider_domain::Timestamp;
use postrider_postgres::tenants::{Quotas, TenantRow};
use serde::Deserialize;

use super::{problem::Problem, schema::Time, validate};
use crate::{clock, manage::tenants::TenantPatch};

/// The highest number that a quota can have.
const MAX_QUOTA: i64 = 1_000_000_000;

/// What a tenant may have and do; what is not given has no limit.
#[derive(Debug, Clone, Default, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TenantQuotas {
    /// How many endpoints.
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000000")))]
    pub endpoints: Option<i64>,
    /// How many events it may publish over HTTP in a second; more are answered with 429. Each process of the API
    /// counts by itself, up to its share (`api.rate_limit_share`).
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000000")))]
    pub publish_per_second: Option<i64>,
    /// How many deliveries may be begun for it on a day (UTC). Past it, what comes for its endpoints is held, not
    /// dropped, and delivered from the next day on. It can be passed by what is under way.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000000")))]
    pub deliveries_per_day: Option<i64>,
}

impl Example for TenantQuotas {
    fn example() -> Self {
        Self { endpoints: Some(100), publish_per_second: Some(500), deliveries_per_day: Some(1_000_000) }
    }
}

impl From<Quotas> for TenantQuotas {
    fn from(quotas: Quotas) -> Self {
        Self {
            endpoints: quotas.endpoints,
            publish_per_second: quotas.publish_per_second,
            deliveries_per_day: quotas.deliveries_per_day,
        }
    }
}

impl TenantQuotas {
    pub fn check(self) -> Result<Quotas, Problem> {
        Ok(Quotas {
            endpoints: self.endpoints.map(|value| quota("/quotas/endpoints", value, 0)).transpose()?,
            publish_per_second: self
                .publish_per_second
                .map(|value| quota("/quotas/publish_per_second", value, 1))
                .transpose()?,
            deliveries_per_day: self
                .deliveries_per_day
                .map(|value| quota("/quotas/deliveries_per_day", value, 1))
                .transpose()?,
        })
    }
}

fn quota(field: &str, value: i64, least: i64) -> Result<i64, Problem> {
    if (least..=MAX_QUOTA).contains(&value) {
        Ok(value)
    } else {
        Err(Problem::field(field, format!("must be {least} to {MAX_QUOTA}")))
    }
}

/// A tenant that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantInput {
    /// Its name, for people; need not be unique.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: String,
    /// What it may have and do; without limits if not given.
    pub quotas: Option<TenantQuotas>,
}

impl Example for TenantInput {
    fn example() -> Self {
        Self { name: "Acme Ltd".to_owned(), quotas: Some(TenantQuotas::example()) }
    }
}

/// What of a tenant's quotas is to be changed: what is not given stays, null removes a limit.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TenantQuotasPatch {
    /// How many endpoints. Those that it has stay.
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000000")))]
    pub endpoints: MaybeUndefined<i64>,
    /// How many events it may publish over HTTP in a second.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000000")))]
    pub publish_per_second: MaybeUndefined<i64>,
    /// How many deliveries may be begun for it on a day (UTC). A change ends a hold for the former quota.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000000")))]
    pub deliveries_per_day: MaybeUndefined<i64>,
}

impl Example for TenantQuotasPatch {
    fn example() -> Self {
        Self { deliveries_per_day: MaybeUndefined::Value(2_000_000), ..Self::default() }
    }
}

/// What of a tenant is to be changed, as JSON Merge Patch (RFC 7396).
#[derive(Debug, Default, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TenantPatchInput {
    /// Its name; not null.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: MaybeUndefined<String>,
    /// Its quotas; null removes them all.
    pub quotas: MaybeUndefined<TenantQuotasPatch>,
}

impl Example for TenantPatchInput {
    fn example() -> Self {
        Self {
            name: MaybeUndefined::Value("Acme GmbH".to_owned()),
            quotas: MaybeUndefined::Value(TenantQuotasPatch::example()),
        }
    }
}

impl TenantPatchInput {
    pub fn check(self) -> Result<TenantPatch, Problem> {
        let name = match self.name {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => return Err(Problem::field("/name", "must not be null")),
            MaybeUndefined::Value(name) => Some(validate::name("/name", &name)?),
        };
        let quotas = match self.quotas {
            MaybeUndefined::Undefined => TenantQuotasPatch::default(),
            MaybeUndefined::Null => TenantQuotasPatch {
                endpoints: MaybeUndefined::Null,
                publish_per_second: MaybeUndefined::Null,
                deliveries_per_day: MaybeUndefined::Null,
            },
            MaybeUndefined::Value(quotas) => quotas,
        };
        let patched = |field: &str, value: MaybeUndefined<i64>, least| match value {
            MaybeUndefined::Undefined => Ok(None),
            MaybeUndefined::Null => Ok(Some(None)),
            MaybeUndefined::Value(value) => quota(field, value, least).map(|value| Some(Some(value))),
        };
        Ok(TenantPatch {
            name,
            endpoints: patched("/quotas/endpoints", quotas.endpoints, 0)?,
            publish_per_second: patched("/quotas/publish_per_second", quotas.publish_per_second, 1)?,
            deliveries_per_day: patched("/quotas/deliveries_per_day", quotas.deliveries_per_day, 1)?,
        })
    }
}

/// Why a tenant is suspended.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspensionInput {
    /// Why, for people: 1 to 500 characters.
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: String,
}

impl Example for SuspensionInput {
    fn example() -> Self {
        Self { reason: "invoice 2026-117 is unpaid".to_owned() }
    }
}

/// That a tenant is suspended.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct TenantSuspension {
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: String,
}

impl Example for TenantSuspension {
    fn example() -> Self {
        Self { since: Time(Timestamp::from_millis(1_769_860_800_000)), reason: "invoice 2026-117 is unpaid".to_owned() }
    }
}

/// What a tenant uses of what it may.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct TenantUsage {
    /// What it may have and do.
    pub quotas: TenantQuotas,
    /// How many endpoints it has.
    pub endpoints: i64,
    /// How many deliveries were begun for it today (UTC), as far as the log is written.
    pub deliveries_today: i64,
    /// Until when what comes for its endpoints is held because it is over its quota; null if it is not.
    pub held_until: Option<Time>,
}

impl Example for TenantUsage {
    fn example() -> Self {
        Self {
            quotas: TenantQuotas::example(),
            endpoints: 12,
            deliveries_today: 1_000_017,
            held_until: Some(Time(Timestamp::from_millis(1_769_904_000_000))),
        }
    }
}

/// A customer of the deployment: owns endpoints, subscriptions and keys.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Tenant {
    /// Its id: `ten_` and 26 letters and digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// That it is suspended; null if it is not.
    pub suspended: Option<TenantSuspension>,
    /// What it may have and do.
    pub quotas: TenantQuotas,
    /// Until when what comes for its endpoints is held because it is over its quota; null if it is not.
    pub held_until: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

impl Example for Tenant {
    fn example() -> Self {
        Self {
            id: "ten_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            name: "Acme Ltd".to_owned(),
            suspended: None,
            quotas: TenantQuotas::example(),
            held_until: None,
            created_at: Time(Timestamp::from_millis(1_769_860_800_000)),
            updated_at: Time(Timestamp::from_millis(1_769_860_800_000)),
        }
    }
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            suspended: row
                .suspended
                .map(|suspension| TenantSuspension { since: Time(suspension.at), reason: suspension.reason }),
            quotas: row.quotas.into(),
            held_until: held_until(row.held_until, clock::now()),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        }
    }
}

/// A hold that is over is none.
pub(super) fn held_until(until: Option<Timestamp>, now: Timestamp) -> Option<Time> {
    until.filter(|until| now < *until).map(Time)
}
