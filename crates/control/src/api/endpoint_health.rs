//! `/v1/endpoints/{id}/health`: how an endpoint does.

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Path, types::Example};
use postrider_domain::{
    Timestamp,
    failing::DisableRule,
    health::{self, BreakerState, Condition, Part, Trend},
};
use postrider_postgres::{
    endpoint_activity,
    endpoints::{self, EndpointRow},
};

use super::{
    access::Authenticated,
    endpoints::parse_id,
    openapi::Tag,
    problem::{Problem, ReadProblem},
    respond::Found,
    schema::Time,
    state::ApiState,
};
use crate::{auth::Scope, clock};

/// The operations.
pub(crate) struct EndpointHealth;

/// How an endpoint does, as far as the log has it by now.
#[derive(Debug, Object)]
#[oai(rename = "EndpointHealth", example)]
struct HealthJson {
    /// 0 (nothing works) to 100 (everything does); null if it was never tried. 0 while Postrider has disabled it.
    score: Option<u8>,
    /// What the score is made of; null if it was never tried.
    parts: Option<PartsJson>,
    /// Where it tends: the last hours against the last weeks; null if it was never tried.
    trend: Option<TrendJson>,
    /// That it is likely to be disabled; null if nothing points to that.
    prediction: Option<Prediction>,
}

/// What a health score is made of.
#[derive(Debug, Object)]
#[oai(rename = "EndpointHealthParts")]
struct PartsJson {
    /// By the share of attempts that succeed, 0 to 1; the recent ones count more.
    success_rate: NumberPart,
    /// By how many times slower than usual it answers; null if that is not known.
    latency: NumberPart,
    /// By its circuit breaker.
    breaker: BreakerPart,
    /// By its failures since the last success: none is left of it when there are as many as disable it.
    consecutive_failures: NumberPart,
}

/// A part of a health score by a number.
#[derive(Debug, Object)]
#[oai(rename = "EndpointHealthPart")]
struct NumberPart {
    /// 0 to 100.
    score: u8,
    /// How much of the whole it makes up, in percent.
    weight: u8,
    /// What it was scored by.
    value: Option<f64>,
}

/// A part of a health score by the circuit breaker.
#[derive(Debug, Object)]
#[oai(rename = "EndpointHealthBreaker")]
struct BreakerPart {
    /// 0 to 100.
    score: u8,
    /// How much of the whole it makes up, in percent.
    weight: u8,
    /// What it does.
    value: BreakerJson,
}

/// What a circuit breaker does: `closed` (all is sent), `half_open` (single requests are, to see whether it does better),
/// `open` (nothing is).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "BreakerState", rename_all = "snake_case")]
enum BreakerJson {
    Closed,
    HalfOpen,
    Open,
}

/// Where an endpoint tends.
#[derive(Debug, Object)]
#[oai(rename = "EndpointHealthTrend")]
struct TrendJson {
    /// Where.
    direction: Direction,
    /// By how many points the last hours differ from the last weeks.
    change: i8,
}

/// Better, as, or worse than it used to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "EndpointHealthDirection", rename_all = "snake_case")]
enum Direction {
    Improving,
    Steady,
    Worsening,
}

/// That an endpoint is likely to be disabled.
#[derive(Debug, Object)]
#[oai(rename = "EndpointHealthPrediction")]
struct Prediction {
    /// When, if it goes on failing as it does.
    disabled_at: Time,
    /// Since when it fails.
    failing_since: Option<Time>,
    /// How often it has failed since.
    failures: u32,
    /// The same in words.
    text: String,
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Endpoints",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl EndpointHealth {
    /// Get an endpoint's health
    ///
    /// Scope `endpoints:read`. A score with its parts, where it tends, and when the endpoint is likely to be disabled.
    #[oai(path = "/endpoints/:id/health", method = "get", operation_id = "getEndpointHealth")]
    async fn health(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
    ) -> Result<Found<HealthJson>, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsRead)?;
        let endpoint = parse_id(&id)?;
        let mut conn = state.pool.tenant(tenant).await?;
        let row = endpoints::get(&mut conn, tenant, &endpoint).await?;
        let row = row.ok_or_else(|| Problem::not_found("endpoint", &id))?;
        let activity = endpoint_activity::get(&mut conn, tenant, &endpoint).await?;
        let condition = endpoint_activity::condition(&mut conn, tenant, &endpoint).await?;
        let activity = activity.map(|activity| activity.weighed);
        Ok(Found(HealthJson::of(&row, activity.as_ref(), &condition, clock::now())))
    }
}

impl HealthJson {
    fn of(row: &EndpointRow, activity: Option<&health::Activity>, condition: &Condition, now: Timestamp) -> Self {
        let rule = DisableRule::default();
        let health = health::score(activity, condition, &rule, now);
        let given_up = row.disabled.as_ref().is_some_and(|disabled| disabled.reason.is_automatic());
        let expected = health::disable_expected_at(&condition.failing, &rule, now);
        Self {
            score: if given_up { Some(0) } else { health.map(|health| health.score) },
            parts: health.map(|health| health.parts.into()),
            trend: health.map(|health| TrendJson { direction: health.trend.into(), change: health.change }),
            prediction: expected.filter(|_| row.enabled).map(|at| Prediction::of(at, condition)),
        }
    }
}

impl Prediction {
    fn of(at: Timestamp, condition: &Condition) -> Self {
        let (since, failures) = (condition.failing.since, condition.failing.failures);
        let since_text = since.map_or_else(String::new, |since| format!(" since {}", since.to_rfc3339()));
        let text = format!(
            "It has failed {failures} times{since_text} and not succeeded once. It is likely to be disabled at {}, at this \
             rate.",
            at.to_rfc3339()
        );
        Self { disabled_at: Time(at), failing_since: since.map(Time), failures, text }
    }
}

impl From<health::Parts> for PartsJson {
    fn from(parts: health::Parts) -> Self {
        fn number<V>(part: Part<V>, value: impl FnOnce(V) -> Option<f64>) -> NumberPart {
            NumberPart { score: part.score, weight: part.weight, value: value(part.value).map(rounded) }
        }
        Self {
            success_rate: number(parts.success_rate, Some),
            latency: number(parts.latency, |slowdown| slowdown),
            breaker: BreakerPart {
                score: parts.breaker.score,
                weight: parts.breaker.weight,
                value: match parts.breaker.value {
                    BreakerState::Closed => BreakerJson::Closed,
                    BreakerState::HalfOpen => BreakerJson::HalfOpen,
                    BreakerState::Open => BreakerJson::Open,
                },
            },
            consecutive_failures: number(parts.consecutive_failures, |failures| Some(f64::from(failures))),
        }
    }
}

/// To four places.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

impl From<Trend> for Direction {
    fn from(trend: Trend) -> Self {
        match trend {
            Trend::Improving => Self::Improving,
            Trend::Steady => Self::Steady,
            Trend::Worsening => Self::Worsening,
        }
    }
}

impl Example for HealthJson {
    fn example() -> Self {
        let part = |score, weight, value| NumberPart { score, weight, value: Some(value) };
        let failing_since = Timestamp::from_millis(1_769_860_800_000);
        let condition = Condition {
            failing: postrider_domain::failing::FailureRecord { since: Some(failing_since), failures: 12 },
            breaker: None,
        };
        Self {
            score: Some(61),
            parts: Some(PartsJson {
                success_rate: part(48, 50, 0.4812),
                latency: part(81, 20, 1.48),
                breaker: BreakerPart { score: 100, weight: 15, value: BreakerJson::Closed },
                consecutive_failures: part(40, 15, 12.0),
            }),
            trend: Some(TrendJson { direction: Direction::Worsening, change: -29 }),
            prediction: Some(Prediction::of(failing_since + DisableRule::default().min_duration, &condition)),
        }
    }
}
