//! Retry policies: when a failed delivery is tried again, and when no more.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::Attempt;

/// The most entries of a `delays_seconds` list.
pub const MAX_DELAYS: usize = 50;
/// The longest single delay: 7 days.
pub const MAX_DELAY_SECONDS: u32 = 604_800;
/// The longest `max_age_seconds`: 30 days.
pub const MAX_AGE_SECONDS: u32 = 2_592_000;
/// The longest first delay of an exponential schedule.
pub const MAX_INITIAL_SECONDS: u32 = 3_600;
/// The most retries of an exponential schedule.
pub const MAX_EXPONENTIAL_RETRIES: u32 = 10;

/// When a failed delivery is tried again. JSON as in the API:
/// `{"schedule": "standard"}`, `{"delays_seconds": [5, 60]}`,
/// `{"exponential": {"initial_seconds": 5, "factor": 2.0, "max_seconds": 3600, "retries": 5}}`;
/// each may have `"max_age_seconds"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RetryPolicyJson", into = "RetryPolicyJson")]
pub struct RetryPolicy {
    schedule: Schedule,
    max_age_seconds: Option<u32>,
}

/// The delays between attempts.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// One that has a name.
    Named(NamedSchedule),
    /// A list, in seconds (1 to [`MAX_DELAY_SECONDS`] each, at most [`MAX_DELAYS`]); empty: a single attempt.
    Delays(Vec<u32>),
    /// A first delay that grows by a factor.
    Exponential(Exponential),
}

/// The schedules that have a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamedSchedule {
    /// 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h: ten attempts over three days.
    #[default]
    Standard,
    /// 1s, 5s, 15s, 1m, 5m: six attempts within seven minutes.
    Fast,
}

/// `initial × factor^n`, capped, a number of times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    /// The delay after the first attempt, 1 to [`MAX_INITIAL_SECONDS`].
    pub initial_seconds: u32,
    /// What each delay is multiplied by to give the next, 1 to 10.
    #[serde(deserialize_with = "exact_f64")]
    pub factor: f64,
    /// No delay is longer than this; `initial_seconds` to [`MAX_DELAY_SECONDS`].
    pub max_seconds: u32,
    /// How many retries follow the first attempt, 0 to [`MAX_EXPONENTIAL_RETRIES`].
    pub retries: u32,
}

/// Why a retry policy can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidRetryPolicy {
    /// The offending field, as `delays_seconds[3]`.
    pub field: String,
    /// What is wrong with it, and what is allowed.
    pub message: String,
}

impl RetryPolicy {
    /// A policy of a schedule and an optional limit of age, counted from the first attempt.
    pub fn new(schedule: Schedule, max_age_seconds: Option<u32>) -> Result<Self, InvalidRetryPolicy> {
        match &schedule {
            Schedule::Named(_) => {}
            Schedule::Delays(delays) => check_delays(delays)?,
            Schedule::Exponential(exponential) => check_exponential(exponential)?,
        }
        if let Some(seconds) = max_age_seconds {
            check_range("max_age_seconds", seconds, 1, MAX_AGE_SECONDS)?;
        }
        Ok(Self { schedule, max_age_seconds })
    }

    /// The delays between attempts.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// How long after the first attempt no other attempt is begun; none: as long as the schedule goes.
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The delay after attempt number `failed`, without jitter; none if it was the last.
    pub fn delay_after(&self, failed: Attempt) -> Option<Duration> {
        let index = failed.get() - 1;
        match &self.schedule {
            Schedule::Named(named) => nth(named.delays_seconds(), index),
            Schedule::Delays(delays) => nth(delays, index),
            Schedule::Exponential(exponential) => exponential.delay(index),
        }
    }
}

impl NamedSchedule {
    /// Its delays, in seconds.
    pub fn delays_seconds(self) -> &'static [u32] {
        match self {
            Self::Standard => &[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
            Self::Fast => &[1, 5, 15, 60, 300],
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Named(NamedSchedule::default())
    }
}

impl Exponential {
    /// The delay before retry number `index`, from 0.
    fn delay(&self, index: u32) -> Option<Duration> {
        if index >= self.retries {
            return None;
        }
        let grown = f64::from(self.initial_seconds) * self.factor.powf(f64::from(index));
        Some(Duration::from_secs_f64(grown.min(f64::from(self.max_seconds))))
    }
}

/// The nearest `f64`, so that a policy is equal to what was written; `serde_json` by itself may be one bit off.
fn exact_f64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    number.as_f64().ok_or_else(|| de::Error::custom("the number is out of range"))
}

fn nth(delays_seconds: &[u32], index: u32) -> Option<Duration> {
    let seconds = *delays_seconds.get(usize::try_from(index).ok()?)?;
    Some(Duration::from_secs(seconds.into()))
}

fn check_delays(delays: &[u32]) -> Result<(), InvalidRetryPolicy> {
    if delays.len() > MAX_DELAYS {
        return Err(invalid("delays_seconds", format!("{} delays, at most {MAX_DELAYS} are allowed", delays.len())));
    }
    for (index, &seconds) in delays.iter().enumerate() {
        check_range(&format!("delays_seconds[{index}]"), seconds, 1, MAX_DELAY_SECONDS)?;
    }
    Ok(())
}

fn check_exponential(exponential: &Exponential) -> Result<(), InvalidRetryPolicy> {
    let Exponential { initial_seconds, factor, max_seconds, retries } = *exponential;
    check_range("exponential.initial_seconds", initial_seconds, 1, MAX_INITIAL_SECONDS)?;
    if !(1.0..=10.0).contains(&factor) {
        return Err(invalid("exponential.factor", format!("{factor} is out of range: use 1 to 10")));
    }
    check_range("exponential.max_seconds", max_seconds, initial_seconds, MAX_DELAY_SECONDS)?;
    check_range("exponential.retries", retries, 0, MAX_EXPONENTIAL_RETRIES)
}

fn check_range(field: &str, value: u32, least: u32, most: u32) -> Result<(), InvalidRetryPolicy> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(invalid(field, format!("{value} is out of range: use {least} to {most}")))
    }
}

fn invalid(field: &str, message: String) -> InvalidRetryPolicy {
    InvalidRetryPolicy { field: field.to_owned(), message }
}

/// A policy as written in JSON: exactly one of the three ways, which [`RetryPolicy::try_from`] checks
/// (an untagged enum would answer "did not match any variant").
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryPolicyJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<NamedSchedule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delays_seconds: Option<Vec<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exponential: Option<Exponential>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age_seconds: Option<u32>,
}

impl TryFrom<RetryPolicyJson> for RetryPolicy {
    type Error = InvalidRetryPolicy;

    fn try_from(json: RetryPolicyJson) -> Result<Self, InvalidRetryPolicy> {
        let schedule = match (json.schedule, json.delays_seconds, json.exponential) {
            (Some(named), None, None) => Schedule::Named(named),
            (None, Some(delays), None) => Schedule::Delays(delays),
            (None, None, Some(exponential)) => Schedule::Exponential(exponential),
            (None, None, None) => {
                return Err(invalid("schedule", "missing: give 'schedule', 'delays_seconds' or 'exponential'".into()));
            }
            _ => {
                return Err(invalid(
                    "schedule",
                    "give only one of 'schedule', 'delays_seconds' and 'exponential'".into(),
                ));
            }
        };
        Self::new(schedule, json.max_age_seconds)
    }
}

impl From<RetryPolicy> for RetryPolicyJson {
    fn from(policy: RetryPolicy) -> Self {
        let mut json = Self { max_age_seconds: policy.max_age_seconds, ..Self::default() };
        match policy.schedule {
            Schedule::Named(named) => json.schedule = Some(named),
            Schedule::Delays(delays) => json.delays_seconds = Some(delays),
            Schedule::Exponential(exponential) => json.exponential = Some(exponential),
        }
        json
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::{from_str, json, to_value};

    use super::*;

    fn delays(policy: &RetryPolicy) -> Vec<u64> {
        (1..).map_while(|n| policy.delay_after(Attempt::new(n).unwrap())).map(|delay| delay.as_secs()).collect()
    }

    #[test]
    fn each_way_gives_its_delays() {
        let table: [(&str, &[u64]); 6] = [
            (r#"{"schedule":"standard"}"#, &[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]),
            (r#"{"schedule":"fast"}"#, &[1, 5, 15, 60, 300]),
            (r#"{"delays_seconds":[7,1]}"#, &[7, 1]),
            (r#"{"delays_seconds":[]}"#, &[]),
            (
                r#"{"exponential":{"initial_seconds":5,"factor":2.5,"max_seconds":60,"retries":5}}"#,
                &[5, 12, 31, 60, 60],
            ),
            (r#"{"exponential":{"initial_seconds":5,"factor":1,"max_seconds":5,"retries":0}}"#, &[]),
        ];
        for (json, wanted) in table {
            assert_eq!(delays(&from_str(json).unwrap()), wanted, "{json}");
        }
    }

    #[test]
    fn the_default_is_the_standard_schedule() {
        assert_eq!(to_value(RetryPolicy::default()).unwrap(), json!({"schedule": "standard"}));
    }

    #[test]
    fn bad_policies_are_refused_with_the_field() {
        let long = format!(r#"{{"delays_seconds":{:?}}}"#, [1; 51]);
        let table = [
            ("{}", "missing"),
            (r#"{"schedule":"slow"}"#, "`standard` or `fast`"),
            (r#"{"schedule":"fast","delays_seconds":[1]}"#, "only one of"),
            (r#"{"schedule":"fast","retries":1}"#, "unknown field `retries`"),
            (r#"{"delays_seconds":[1,0]}"#, "delays_seconds[1]: 0 is out of range"),
            (r#"{"delays_seconds":[604801]}"#, "delays_seconds[0]: 604801 is out of range"),
            (r#"{"schedule":"fast","max_age_seconds":0}"#, "max_age_seconds: 0"),
            (r#"{"exponential":{"initial_seconds":0,"factor":2,"max_seconds":60,"retries":1}}"#, "initial_seconds: 0"),
            (r#"{"exponential":{"initial_seconds":5,"factor":0.5,"max_seconds":60,"retries":1}}"#, "factor: 0.5"),
            (r#"{"exponential":{"initial_seconds":5,"factor":2,"max_seconds":4,"retries":1}}"#, "max_seconds: 4"),
            (r#"{"exponential":{"initial_seconds":5,"factor":2,"max_seconds":60,"retries":11}}"#, "retries: 11"),
            (r#"{"exponential":{"initial_seconds":5}}"#, "missing field `factor`"),
            (&long, "51 delays"),
        ];
        for (json, part) in table {
            let message = from_str::<RetryPolicy>(json).unwrap_err().to_string();
            assert!(message.contains(part), "{json}: {message}");
        }
    }

    pub(crate) fn any_schedule() -> impl Strategy<Value = Schedule> {
        let exponential = (1..=3_600u32, 1.0..=10.0f64, 3_600..=604_800u32, 0..=10u32).prop_map(
            |(initial_seconds, factor, max_seconds, retries)| {
                Schedule::Exponential(Exponential { initial_seconds, factor, max_seconds, retries })
            },
        );
        prop_oneof![
            Just(Schedule::Named(NamedSchedule::Fast)),
            proptest::collection::vec(1..=604_800u32, 0..=50).prop_map(Schedule::Delays),
            exponential,
        ]
    }

    proptest! {
        #[test]
        fn json_round_trips(schedule in any_schedule(), max_age in proptest::option::of(1..=MAX_AGE_SECONDS)) {
            let policy = RetryPolicy::new(schedule, max_age).unwrap();
            prop_assert_eq!(from_str::<RetryPolicy>(&serde_json::to_string(&policy).unwrap()).unwrap(), policy);
        }

        #[test]
        fn exponential_delays_never_shrink_and_stay_under_the_cap(
            initial_seconds in 1..=3_600u32, factor in 1.0..=10.0f64, more in 0..=601_200u32,
        ) {
            let exponential = Exponential { initial_seconds, factor, max_seconds: initial_seconds + more, retries: 10 };
            let policy = RetryPolicy::new(Schedule::Exponential(exponential), None).unwrap();
            let delays = delays(&policy);
            prop_assert_eq!(delays.len(), 10);
            prop_assert!(delays.is_sorted() && delays[9] <= u64::from(initial_seconds + more));
        }
    }
}
