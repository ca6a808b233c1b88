//! `/v1/replays`: delivering again, and what came of it.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use postrider_domain::{
    EndpointId, JobId, SubscriptionId, TenantId, Timestamp,
    replay::{DesiredState, OffsetRanges, RejectedQuery},
};
use postrider_postgres::{dead_letters, endpoints, subscriptions};
use serde::Deserialize;
use serde_json::json;

use super::{
    access::Authenticated,
    body::Body,
    dead_letters::{DeadLetters, audit},
    openapi::Tag,
    pagination::{Page, PageRequest},
    parameter::parsed,
    problem::{DirectProblem, Problem, ReadProblem, WriteProblem},
    replay_types::{RedriveResults, Replay, default_rate, not_replayed, rate},
    respond::{Accepted, Found},
    schema::Time,
    state::ApiState,
};
use crate::{
    auth::Scope,
    clock,
    replays::{BackfillOf, NewReplay, Replay as Job, What},
};

/// The window of the results if none is given.
const DEFAULT_RESULTS: Duration = Duration::from_hours(7 * 24);
/// The longest window of the results: dead letters are kept for so long.
const MAX_RESULTS: Duration = Duration::from_hours(31 * 24);
/// The longest name of a source or topic.
const MAX_NAME_BYTES: usize = 255;

/// The operations.
pub(crate) struct Replays;

/// What there is of dead letters and replays, as one part of all resources.
pub(crate) type ReplayParts = (DeadLetters, Replays);

/// Their implementation.
pub(crate) const REPLAY_PARTS: ReplayParts = (DeadLetters, Replays);

/// Events that came before a subscription, or an endpoint.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct BackfillInput {
    /// The subscription: it gets what it would have matched, up to where it began to match by itself, so each event
    /// once.
    subscription_id: Option<String>,
    /// Or the endpoint: all its subscriptions get what they match, up to now; what was delivered is repeated.
    endpoint_id: Option<String>,
    /// The configured source that the events came from; `events` is what was published over `/v1/events`.
    #[oai(validator(min_length = 1, max_length = 255))]
    source: String,
    /// The topic, if the source has a pattern of topics.
    #[oai(validator(min_length = 1, max_length = 255))]
    topic: Option<String>,
    /// Events at or after this time.
    since: Time,
    /// Events before this time.
    until: Option<Time>,
    /// Only count, and show a sample.
    #[serde(default)]
    #[oai(default)]
    dry_run: bool,
    /// Deliveries a second at most.
    #[serde(default = "default_rate")]
    #[oai(default = "default_rate", validator(minimum(value = "1")))]
    rate_per_second: u32,
}

impl Example for BackfillInput {
    fn example() -> Self {
        Self {
            subscription_id: Some("sub_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned()),
            endpoint_id: None,
            source: "orders".to_owned(),
            topic: None,
            since: Time(Timestamp::from_millis(1_769_256_000_000)),
            until: None,
            dry_run: false,
            rate_per_second: default_rate(),
        }
    }
}

/// Records that could not be understood, to be matched again.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct RejectedInput {
    /// Only those of this configured source.
    #[oai(validator(min_length = 1, max_length = 255))]
    source: Option<String>,
    /// Only those that were rejected at or after this time.
    since: Option<Time>,
    /// Only those that were rejected before this time.
    until: Option<Time>,
    /// Only count, and show a sample.
    #[serde(default)]
    #[oai(default)]
    dry_run: bool,
    /// Deliveries a second at most.
    #[serde(default = "default_rate")]
    #[oai(default = "default_rate", validator(minimum(value = "1")))]
    rate_per_second: u32,
}

impl Example for RejectedInput {
    fn example() -> Self {
        Self {
            source: Some("orders".to_owned()),
            since: Some(Time(Timestamp::from_millis(1_769_256_000_000))),
            until: None,
            dry_run: true,
            rate_per_second: default_rate(),
        }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Replays",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, except to list, get and direct replays."
    )
)]
impl Replays {
    /// Deliver events that came before
    ///
    /// Scope `replays:write`. Makes a replay that reads a source again, and delivers what an existing subscription (or
    /// all of an endpoint's) wants of it, under the `webhook-id` that a live delivery would have.
    #[oai(path = "/replays/backfill", method = "post", operation_id = "backfill")]
    async fn backfill(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<BackfillInput>,
    ) -> Result<Accepted<Replay>, WriteProblem> {
        let tenant = auth.tenant(Scope::ReplaysWrite)?;
        let input = body.0;
        let rate_per_second = rate(input.rate_per_second)?;
        is_name("/source", Some(&input.source))?;
        is_name("/topic", input.topic.as_ref())?;
        let of = backfill_of(state, tenant, &input).await?;
        let source = state.replays.source(&input.source, input.topic.as_deref());
        let source = source.map_err(|why| Problem::field("/source", why))?;
        let actor = auth.0.actor();
        let new = NewReplay {
            tenant: Some(tenant.clone()),
            what: What::Backfill { source, of, since: input.since.0, until: input.until.map(|time| time.0) },
            dry_run: input.dry_run,
            rate_per_second,
            created_by: actor.id.clone(),
        };
        let job = state.replays.create(new).await.map_err(not_replayed)?;
        let mut transaction = state.pool.tenant(tenant).await?;
        let after = json!({
            "source": input.source,
            "subscription_id": input.subscription_id,
            "endpoint_id": input.endpoint_id,
            "dry_run": job.dry_run,
        });
        audit(&mut transaction, &actor, Some(tenant), "replay.backfill", job.id.as_str(), after).await?;
        transaction.commit().await?;
        Ok(Accepted(Replay::of(job, None)))
    }

    /// Match rejected records again
    ///
    /// Operator keys only, scope `replays:write`. Makes a replay of records that could not be understood (no JSON, no
    /// tenant, against their schema), after their source's configuration or their schema was mended: each is matched as
    /// it would be if it were new. With `Postrider-Tenant` only that tenant's events are delivered.
    #[oai(path = "/replays/rejected", method = "post", operation_id = "replayRejected")]
    async fn rejected(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<RejectedInput>,
    ) -> Result<Accepted<Replay>, WriteProblem> {
        auth.operator(Scope::ReplaysWrite)?;
        let input = body.0;
        let rate_per_second = rate(input.rate_per_second)?;
        is_name("/source", input.source.as_ref())?;
        let (actor, tenant) = (auth.0.actor(), auth.0.tenant.clone());
        let query = RejectedQuery {
            source: input.source.clone(),
            since: input.since.map(|time| time.0),
            until: input.until.map(|time| time.0),
            ranges: OffsetRanges::default(),
        };
        let new = NewReplay {
            tenant: tenant.clone(),
            what: What::Rejected(query),
            dry_run: input.dry_run,
            rate_per_second,
            created_by: actor.id.clone(),
        };
        let job = state.replays.create(new).await.map_err(not_replayed)?;
        let mut transaction = state.pool.begin_for(tenant.as_ref()).await?;
        let after = json!({ "source": input.source, "dry_run": job.dry_run });
        audit(&mut transaction, &actor, tenant.as_ref(), "replay.rejected", job.id.as_str(), after).await?;
        transaction.commit().await?;
        Ok(Accepted(Replay::of(job, None)))
    }

    /// List replays
    ///
    /// Scope `replays:read`. The latest first. An operator key that names no tenant sees every tenant's, and those that
    /// were made for all of them.
    #[oai(path = "/replays", method = "get", operation_id = "listReplays")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<Replay>>, ReadProblem> {
        let tenant = auth.visible(Scope::ReplaysRead)?;
        let page = PageRequest::<JobId>::parse(cursor.0.as_deref(), limit.0)?;
        let jobs = state.replays.list().await.map_err(not_replayed)?;
        let rows = usize::try_from(page.rows_to_read()).unwrap_or(usize::MAX);
        // They sort by the time they were made.
        let wanted = jobs.into_iter().rev().filter(|job| is_visible(job, tenant));
        let wanted = wanted.filter(|job| page.after.as_ref().is_none_or(|after| job.job.id < *after));
        let jobs: Vec<Job> = wanted.take(rows).collect();
        Ok(Found(page.page(jobs, |job| job.job.id.to_string(), |job| Ok(Replay::of(job.job, job.progress)))?))
    }

    /// Get a replay
    ///
    /// Scope `replays:read`. How far it has come, to about a second.
    #[oai(path = "/replays/:id", method = "get", operation_id = "getReplay")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The replay's id.
        id: Path<String>,
    ) -> Result<Found<Replay>, ReadProblem> {
        let found = find(state, auth.visible(Scope::ReplaysRead)?, &id).await?;
        Ok(Found(Replay::of(found.job, found.progress)))
    }

    /// Pause a replay
    ///
    /// Scope `replays:write`. What is on its way is delivered.
    #[oai(path = "/replays/:id/pause", method = "post", operation_id = "pauseReplay")]
    async fn pause(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The replay's id.
        id: Path<String>,
    ) -> Result<Accepted<Replay>, DirectProblem> {
        Ok(Accepted(direct(state, &auth, &id, DesiredState::Paused).await?))
    }

    /// Resume a replay
    ///
    /// Scope `replays:write`. It goes on where it was paused.
    #[oai(path = "/replays/:id/resume", method = "post", operation_id = "resumeReplay")]
    async fn resume(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The replay's id.
        id: Path<String>,
    ) -> Result<Accepted<Replay>, DirectProblem> {
        Ok(Accepted(direct(state, &auth, &id, DesiredState::Running).await?))
    }

    /// Cancel a replay
    ///
    /// Scope `replays:write`. For good. What it has made is delivered; what it has not come to stays as it is.
    #[oai(path = "/replays/:id/cancel", method = "post", operation_id = "cancelReplay")]
    async fn cancel(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The replay's id.
        id: Path<String>,
    ) -> Result<Accepted<Replay>, DirectProblem> {
        Ok(Accepted(direct(state, &auth, &id, DesiredState::Cancelled).await?))
    }

    /// Get what came of redrives
    ///
    /// Scope `replays:read`. Of the dead letters that were delivered anew in a window of at most 31 days: how many of
    /// each error class succeeded, and how many failed again.
    #[oai(path = "/replays/results", method = "get", operation_id = "getRedriveResults")]
    async fn results(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Redriven at or after this time; a week before `until` if not given.
        since: Query<Option<Time>>,
        /// Redriven before this time; now if not given.
        until: Query<Option<Time>>,
        /// Only by this replay.
        replay_id: Query<Option<String>>,
    ) -> Result<Found<RedriveResults>, ReadProblem> {
        let tenant = auth.tenant(Scope::ReplaysRead)?;
        let until = until.0.map_or_else(clock::now, |time| time.0);
        let since = since.0.map_or(until - DEFAULT_RESULTS, |time| time.0);
        if since >= until || until.since(since) > MAX_RESULTS {
            let detail = "since must be before until, and at most 31 days";
            return Err(Problem::new(super::problem::ProblemKind::BadRequest, detail).at("since").into());
        }
        let job = parsed::<JobId>("replay_id", replay_id.0.as_deref())?;
        let mut transaction = state.pool.tenant(tenant).await?;
        let results = dead_letters::redrive_results(&mut transaction, tenant, since, until, job.as_ref()).await?;
        transaction.commit().await?;
        Ok(Found(RedriveResults::of(since, until, results)))
    }
}

/// Whether a source or topic can have this name.
fn is_name(field: &str, name: Option<&String>) -> Result<(), Problem> {
    if name.is_some_and(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) {
        return Err(Problem::field(field, format!("must have 1 to {MAX_NAME_BYTES} bytes")));
    }
    Ok(())
}

/// For whom events are backfilled: something of the tenant's.
async fn backfill_of(state: &ApiState, tenant: &TenantId, input: &BackfillInput) -> Result<BackfillOf, Problem> {
    let mut transaction = state.pool.tenant(tenant).await?;
    let of = match (&input.subscription_id, &input.endpoint_id) {
        (Some(id), None) => {
            let missing = || Problem::not_found("subscription", id).at("/subscription_id");
            let subscription: SubscriptionId = id.parse().map_err(|_| missing())?;
            subscriptions::get(&mut transaction, tenant, &subscription).await?.ok_or_else(missing)?;
            BackfillOf::Subscription(subscription)
        }
        (None, Some(id)) => {
            let missing = || Problem::not_found("endpoint", id).at("/endpoint_id");
            let endpoint: EndpointId = id.parse().map_err(|_| missing())?;
            endpoints::get(&mut transaction, tenant, &endpoint).await?.ok_or_else(missing)?;
            BackfillOf::Endpoint(endpoint)
        }
        (None, None) => return Err(Problem::field("/subscription_id", "is needed, or endpoint_id")),
        (Some(_), Some(_)) => {
            return Err(Problem::field("/endpoint_id", "can't go with subscription_id; leave one of them out"));
        }
    };
    transaction.commit().await?;
    Ok(of)
}

/// Whether somebody who may see what is `tenant`'s (none: everything) may see a job.
fn is_visible(job: &Job, tenant: Option<&TenantId>) -> bool {
    tenant.is_none() || job.job.tenant.as_ref() == tenant
}

async fn find(state: &ApiState, tenant: Option<&TenantId>, id: &str) -> Result<Job, Problem> {
    let missing = || Problem::not_found("replay", id);
    let job: JobId = id.parse().map_err(|_| missing())?;
    let found = state.replays.find(&job).await.map_err(not_replayed)?;
    if is_visible(&found, tenant) { Ok(found) } else { Err(missing()) }
}

async fn direct(state: &ApiState, auth: &Authenticated, id: &str, desired: DesiredState) -> Result<Replay, Problem> {
    let found = find(state, auth.visible(Scope::ReplaysWrite)?, id).await?;
    let job = state.replays.desire(&found.job.id, desired).await.map_err(not_replayed)?;
    let action = match desired {
        DesiredState::Running => "replay.resume",
        DesiredState::Paused => "replay.pause",
        DesiredState::Cancelled => "replay.cancel",
    };
    let tenant = job.tenant.as_ref();
    let mut transaction = state.pool.begin_for(tenant).await?;
    audit(&mut transaction, &auth.0.actor(), tenant, action, job.id.as_str(), json!({})).await?;
    transaction.commit().await?;
    Ok(Replay::of(job, found.progress))
}
