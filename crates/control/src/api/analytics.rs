//! `/v1/analytics`: what deliveries come to, over any window.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{OpenApi, param::Query};
use postrider_domain::{EndpointId, TenantId};
use postrider_postgres::rollups::Subject;

use super::{
    access::{Authenticated, TENANT_HEADER},
    analytics_csv::{CsvFile, failing_table, series_table},
    analytics_types::{
        AnalyticsByEventType, AnalyticsSeries, AnalyticsSummary, BurnRate, FailingEndpoints, ObjectiveReport, Step,
    },
    openapi::Tag,
    parameter::parsed,
    problem::{Problem, ProblemKind, ReadProblem},
    respond::Found,
    schema::Time,
    state::{ApiConfig, ApiState},
};
use crate::{
    analytics::{self, BURN_WINDOWS, Objective, Window, WindowError},
    auth::Scope,
    clock,
};

/// How many endpoints or event types are listed if nothing is said, and at most.
const DEFAULT_LISTED: u32 = 20;
const MOST_LISTED: u32 = 100;
/// The longest time that a delivery may be given: a week.
const LONGEST_WITHIN_SECONDS: u32 = 7 * 24 * 3_600;
/// The highest objective: what it allows must be countable.
const HIGHEST_OBJECTIVE: f64 = 99.999;

/// The operations.
pub(crate) struct Analytics;

/// What a request is about, as its parameters say it.
struct Asked<'a> {
    tenant: Option<&'a TenantId>,
    endpoint: Option<EndpointId>,
    event_type: Option<String>,
    window: Window,
}

impl<'a> Asked<'a> {
    /// Reads the parameters that all operations have.
    fn read(
        auth: &'a Authenticated,
        config: &ApiConfig,
        endpoint: Option<&str>,
        event_type: Option<String>,
        from: Option<Time>,
        to: Option<Time>,
    ) -> Result<Self, Problem> {
        let tenant = auth.visible(Scope::AnalyticsRead)?;
        let endpoint: Option<EndpointId> = parsed("endpoint_id", endpoint)?;
        if endpoint.is_some() && tenant.is_none() {
            let detail = format!("an operator key looks at an endpoint only with the header '{TENANT_HEADER}: ten_…'");
            return Err(Problem::new(ProblemKind::BadRequest, detail).at(TENANT_HEADER));
        }
        if event_type.as_ref().is_some_and(|name| name.is_empty() || name.contains('\0')) {
            let detail = "an event type is not empty and has no NUL in it; name one, or leave it out";
            return Err(Problem::new(ProblemKind::BadRequest, detail).at("event_type"));
        }
        let at = |time: Option<Time>| time.map(|time| time.0);
        let window = Window::resolve(at(from), at(to), clock::now(), &config.retention).map_err(no_window)?;
        Ok(Self { tenant, endpoint, event_type, window })
    }

    fn subject(&self) -> Subject<'_> {
        match (self.tenant, &self.endpoint) {
            (Some(tenant), Some(endpoint)) => Subject::Endpoint(tenant, endpoint),
            (Some(tenant), None) => Subject::Tenant(tenant),
            (None, _) => Subject::Deployment,
        }
    }

    fn event_type(&self) -> Option<&str> {
        self.event_type.as_deref()
    }
}

#[OpenApi(
    prefix_path = "/v1/analytics",
    tag = "Tag::Analytics",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id. An operator key without it sees the whole deployment."
    )
)]
impl Analytics {
    /// Summarise deliveries
    ///
    /// Scope `analytics:read`. Volume, success rate, error classes, latencies, attempts per delivery and throughput over
    /// any window: of a tenant, or of one endpoint or event type. About a second late.
    #[oai(path = "/summary", method = "get", operation_id = "getAnalyticsSummary")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn summary(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// Only deliveries to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// Only deliveries of events of exactly this type.
        #[oai(validator(max_length = 256))]
        event_type: Query<Option<String>>,
        /// The window's beginning, 24 hours before its end if not given.
        from: Query<Option<Time>>,
        /// The window's end, now if not given.
        to: Query<Option<Time>>,
    ) -> Result<Found<AnalyticsSummary>, ReadProblem> {
        let asked = Asked::read(&auth, config, endpoint_id.0.as_deref(), event_type.0, from.0, to.0)?;
        let mut transaction = state.pool.begin_for(asked.tenant).await?;
        let tally = analytics::total(&mut transaction, asked.subject(), asked.event_type(), asked.window).await?;
        transaction.commit().await?;
        Ok(Found(AnalyticsSummary::of(asked.window, &tally)))
    }

    /// Get deliveries over time
    ///
    /// Scope `analytics:read`. What deliveries come to in every minute, hour or day of a window, at most 1,500 of them.
    /// Minutes, hours and days are counted for as long as the deployment is set to keep them: 7, 90 and 800 days if
    /// nothing else is said.
    #[oai(path = "/series", method = "get", operation_id = "getAnalyticsSeries")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn series(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// Only deliveries to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// Only deliveries of events of exactly this type.
        #[oai(validator(max_length = 256))]
        event_type: Query<Option<String>>,
        /// The window's beginning, 24 hours before its end if not given.
        from: Query<Option<Time>>,
        /// The window's end, now if not given.
        to: Query<Option<Time>>,
        /// How much time each point covers; if not given, as little as gives 400 points at most.
        step: Query<Option<Step>>,
    ) -> Result<Found<AnalyticsSeries>, ReadProblem> {
        let asked = Asked::read(&auth, config, endpoint_id.0.as_deref(), event_type.0, from.0, to.0)?;
        let steps = asked.window.steps(step.0.map(Into::into), &config.retention).map_err(no_window)?;
        let mut transaction = state.pool.begin_for(asked.tenant).await?;
        let points = analytics::series(&mut transaction, asked.subject(), asked.event_type(), steps).await?;
        transaction.commit().await?;
        Ok(Found(AnalyticsSeries::of(steps, &points)))
    }

    /// Export deliveries over time
    ///
    /// Scope `analytics:read`. The same as CSV (RFC 4180), a line for each point.
    #[oai(path = "/series.csv", method = "get", operation_id = "exportAnalyticsSeries")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn series_csv(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// Only deliveries to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// Only deliveries of events of exactly this type.
        #[oai(validator(max_length = 256))]
        event_type: Query<Option<String>>,
        /// The window's beginning, 24 hours before its end if not given.
        from: Query<Option<Time>>,
        /// The window's end, now if not given.
        to: Query<Option<Time>>,
        /// How much time each line covers; if not given, as little as gives 400 lines at most.
        step: Query<Option<Step>>,
    ) -> Result<CsvFile, ReadProblem> {
        let asked = Asked::read(&auth, config, endpoint_id.0.as_deref(), event_type.0, from.0, to.0)?;
        let steps = asked.window.steps(step.0.map(Into::into), &config.retention).map_err(no_window)?;
        let mut transaction = state.pool.begin_for(asked.tenant).await?;
        let points = analytics::series(&mut transaction, asked.subject(), asked.event_type(), steps).await?;
        transaction.commit().await?;
        Ok(CsvFile(series_table(&points)))
    }

    /// Summarise deliveries by event type
    ///
    /// Scope `analytics:read`. The event types with the most attempts over a window: of a tenant, or of one endpoint.
    #[oai(path = "/event-types", method = "get", operation_id = "getAnalyticsByEventType")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn event_types(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// Only deliveries to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// The window's beginning, 24 hours before its end if not given.
        from: Query<Option<Time>>,
        /// The window's end, now if not given.
        to: Query<Option<Time>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<AnalyticsByEventType>, ReadProblem> {
        let asked = Asked::read(&auth, config, endpoint_id.0.as_deref(), None, from.0, to.0)?;
        let limit = listed(limit.0)? as usize;
        let mut transaction = state.pool.begin_for(asked.tenant).await?;
        let types = analytics::by_event_type(&mut transaction, asked.subject(), asked.window, limit).await?;
        transaction.commit().await?;
        Ok(Found(AnalyticsByEventType::of(asked.window, types)))
    }

    /// List the endpoints that fail most
    ///
    /// Scope `analytics:read`. Those with the most failed attempts over a window.
    #[oai(path = "/failing-endpoints", method = "get", operation_id = "listFailingEndpoints")]
    async fn failing_endpoints(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// The window's beginning, 24 hours before its end if not given.
        from: Query<Option<Time>>,
        /// The window's end, now if not given.
        to: Query<Option<Time>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<FailingEndpoints>, ReadProblem> {
        Ok(Found(find_failing(state, config, &auth, from.0, to.0, limit.0).await?))
    }

    /// Export the endpoints that fail most
    ///
    /// Scope `analytics:read`. The same as CSV (RFC 4180), a line for each endpoint.
    #[oai(path = "/failing-endpoints.csv", method = "get", operation_id = "exportFailingEndpoints")]
    async fn failing_endpoints_csv(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// The window's beginning, 24 hours before its end if not given.
        from: Query<Option<Time>>,
        /// The window's end, now if not given.
        to: Query<Option<Time>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<CsvFile, ReadProblem> {
        let found = find_failing(state, config, &auth, from.0, to.0, limit.0).await?;
        Ok(CsvFile(failing_table(&found)))
    }

    /// Hold deliveries against an objective
    ///
    /// Scope `analytics:read`. How many of the deliveries that ended in a window were made in time, and how fast those
    /// that were late or failed use up what the objective allows: over the window, and over shorter ones that end with it,
    /// to be alerted by. A burn rate of 1 uses up just what is allowed.
    #[oai(path = "/objective", method = "get", operation_id = "getAnalyticsObjective")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn objective(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// Only deliveries to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// Only deliveries of events of exactly this type.
        #[oai(validator(max_length = 256))]
        event_type: Query<Option<String>>,
        /// The window's beginning, 24 hours before its end if not given.
        from: Query<Option<Time>>,
        /// The window's end, now if not given.
        to: Query<Option<Time>>,
        /// How long a delivery may take from its match: 1 to 604,800 seconds.
        within_seconds: Query<u32>,
        /// How many of a hundred have to be made within that time: 1 to 99.999, 99 if not given.
        objective_percent: Query<Option<f64>>,
    ) -> Result<Found<ObjectiveReport>, ReadProblem> {
        let asked = Asked::read(&auth, config, endpoint_id.0.as_deref(), event_type.0, from.0, to.0)?;
        let objective = read_objective(within_seconds.0, objective_percent.0)?;
        let (subject, event_type) = (asked.subject(), asked.event_type());
        let mut transaction = state.pool.begin_for(asked.tenant).await?;
        let tally = analytics::total(&mut transaction, subject, event_type, asked.window).await?;
        let mut burn_rates = Vec::with_capacity(BURN_WINDOWS.len());
        for (name, length) in BURN_WINDOWS {
            let window = asked.window.last(length, &config.retention);
            let tally = analytics::total(&mut transaction, subject, event_type, window).await?;
            burn_rates.push(BurnRate::of(name, objective.standing(&tally)));
        }
        transaction.commit().await?;
        let standing = objective.standing(&tally);
        Ok(Found(ObjectiveReport::of(asked.window, within_seconds.0, objective.percent, standing, burn_rates)))
    }
}

async fn find_failing(
    state: &ApiState,
    config: &ApiConfig,
    auth: &Authenticated,
    from: Option<Time>,
    to: Option<Time>,
    limit: Option<u32>,
) -> Result<FailingEndpoints, Problem> {
    let asked = Asked::read(auth, config, None, None, from, to)?;
    let (limit, part) = (listed(limit)?, asked.window.coarse(&config.retention));
    let mut transaction = state.pool.begin_for(asked.tenant).await?;
    let found = analytics::failing(&mut transaction, asked.subject(), part, limit).await?;
    transaction.commit().await?;
    Ok(FailingEndpoints::of(part, found))
}

fn read_objective(within_seconds: u32, percent: Option<f64>) -> Result<Objective, Problem> {
    let bad = |field, detail: String| Err(Problem::new(ProblemKind::BadRequest, detail).at(field));
    if !(1..=LONGEST_WITHIN_SECONDS).contains(&within_seconds) {
        return bad("within_seconds", format!("within_seconds must be 1 to {LONGEST_WITHIN_SECONDS}"));
    }
    let percent = percent.unwrap_or(99.0);
    if !(1.0..=HIGHEST_OBJECTIVE).contains(&percent) {
        return bad("objective_percent", format!("objective_percent must be 1 to {HIGHEST_OBJECTIVE}"));
    }
    Ok(Objective { within: Duration::from_secs(within_seconds.into()), percent })
}

fn listed(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LISTED);
    if (1..=MOST_LISTED).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new(ProblemKind::BadRequest, format!("limit must be 1 to {MOST_LISTED}")).at("limit"))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` wants it")]
fn no_window(error: WindowError) -> Problem {
    Problem::new(ProblemKind::BadRequest, error.to_string()).at(error.parameter())
}
