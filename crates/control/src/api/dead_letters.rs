//! `/v1/dead-letters`: what failed for good.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use postrider_domain::{
    EndpointId, ErrorClass, JobId, MessageId, TenantId, Timestamp,
    replay::{DeadLetterMark, DeadLetterQuery, Mark, OffsetRanges},
};
use postrider_postgres::{
    PgConnection,
    dead_letters::{self, DeadLetterFilter, DeadLetterRow},
    delivery_log,
};
use serde_json::json;

use super::{
    access::Authenticated,
    body::Body,
    dead_letter_selection::{PurgeInput, Purged, RedriveInput, has_endpoint},
    dead_letter_types::{Cursor, DeadLetter, DeadLetterCounts, MessageDeadLetters, State},
    openapi::Tag,
    pagination::{Page, PageRequest},
    parameter::{parsed, storable},
    problem::{Problem, ReadProblem, WriteProblem},
    replay_types::{Replay, not_replayed, rate},
    respond::{Accepted, Found},
    schema::Time,
    state::ApiState,
};
use crate::{
    audit::{Actor, Change, record},
    auth::Scope,
    clock,
    replays::{NewReplay, What},
};

/// The most dead letters that one request gives up.
const MAX_PURGED: i64 = 10_000;

/// The operations.
pub(crate) struct DeadLetters;

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::DeadLetters",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl DeadLetters {
    /// List dead letters
    ///
    /// Scope `dead-letters:read`. The latest ended first; about a second after they ended, and for 30 days.
    #[oai(path = "/dead-letters", method = "get", operation_id = "listDeadLetters")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those of which this became.
        #[oai(name = "state")]
        became: Query<Option<State>>,
        /// Only those to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// Only those of exactly this event type.
        #[oai(validator(max_length = 256))]
        event_type: Query<Option<String>>,
        /// Only those that failed for this reason.
        error_class: Query<Option<String>>,
        /// Only those that this replay delivered anew.
        replay_id: Query<Option<String>>,
        /// Only those that ended at or after this time.
        since: Query<Option<Time>>,
        /// Only those that ended before this time.
        until: Query<Option<Time>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<DeadLetter>>, ReadProblem> {
        let tenant = auth.tenant(Scope::DeadLettersRead)?;
        let filter = DeadLetterFilter {
            state: became.0.map(Into::into),
            messages: None,
            endpoint: parsed::<EndpointId>("endpoint_id", endpoint_id.0.as_deref())?,
            event_type: storable("event_type", event_type.0)?,
            error: parsed::<ErrorClass>("error_class", error_class.0.as_deref())?,
            since: since.0.map(|time| time.0),
            until: until.0.map(|time| time.0),
            job: parsed::<JobId>("replay_id", replay_id.0.as_deref())?,
        };
        let page = PageRequest::<Cursor>::parse(cursor.0.as_deref(), limit.0)?;
        let after = page.after.as_ref().map(|cursor| &cursor.0);
        let mut transaction = state.pool.tenant(tenant).await?;
        let rows = dead_letters::list(&mut transaction, tenant, &filter, after, page.rows_to_read()).await?;
        transaction.commit().await?;
        Ok(Found(page.page(rows, |row| Cursor::of(row).to_string(), |row| Ok(row.into()))?))
    }

    /// Count dead letters
    ///
    /// Scope `dead-letters:read`. By error class and state.
    #[oai(path = "/dead-letters/counts", method = "get", operation_id = "countDeadLetters")]
    async fn count(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those to this endpoint.
        endpoint_id: Query<Option<String>>,
        /// Only those of exactly this event type.
        #[oai(validator(max_length = 256))]
        event_type: Query<Option<String>>,
        /// Only those that ended at or after this time.
        since: Query<Option<Time>>,
        /// Only those that ended before this time.
        until: Query<Option<Time>>,
    ) -> Result<Found<DeadLetterCounts>, ReadProblem> {
        let tenant = auth.tenant(Scope::DeadLettersRead)?;
        let filter = DeadLetterFilter {
            endpoint: parsed::<EndpointId>("endpoint_id", endpoint_id.0.as_deref())?,
            event_type: storable("event_type", event_type.0)?,
            since: since.0.map(|time| time.0),
            until: until.0.map(|time| time.0),
            ..DeadLetterFilter::default()
        };
        let mut transaction = state.pool.tenant(tenant).await?;
        let counts = dead_letters::count(&mut transaction, tenant, &filter).await?;
        transaction.commit().await?;
        Ok(Found(counts.into()))
    }

    /// Get a message's dead letters
    ///
    /// Scope `dead-letters:read`. Each with what became of it, and the chain of the message's runs: the live one, and
    /// every replay. At most 100 of each.
    #[oai(path = "/dead-letters/:message_id", method = "get", operation_id = "getDeadLetters")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The message's id: the `webhook-id`.
        message_id: Path<String>,
    ) -> Result<Found<MessageDeadLetters>, ReadProblem> {
        let tenant = auth.tenant(Scope::DeadLettersRead)?;
        let missing = || Problem::not_found("dead letter", &message_id);
        let message: MessageId = message_id.parse().map_err(|_| missing())?;
        let mut transaction = state.pool.tenant(tenant).await?;
        let letters = dead_letters::of_message(&mut transaction, tenant, &message).await?;
        let runs = delivery_log::runs_of(&mut transaction, tenant, &message).await?;
        transaction.commit().await?;
        Ok(Found(MessageDeadLetters::of(letters, runs).ok_or_else(missing)?))
    }

    /// Deliver dead letters again
    ///
    /// Scope `dead-letters:write`. Makes a replay of those that are open and were there when it was asked for: each is
    /// delivered with fresh attempts, under the same `webhook-id`, and never by two replays. With `dry_run` it counts
    /// them and shows a sample. Follow it under `/v1/replays/{id}`.
    #[oai(path = "/dead-letters/redrive", method = "post", operation_id = "redriveDeadLetters")]
    async fn redrive(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<RedriveInput>,
    ) -> Result<Accepted<Replay>, WriteProblem> {
        let tenant = auth.tenant(Scope::DeadLettersWrite)?;
        let rate_per_second = rate(body.0.rate_per_second)?;
        let filter = body.0.check()?;
        let mut transaction = state.pool.tenant(tenant).await?;
        has_endpoint(&mut transaction, tenant, &filter).await?;
        transaction.commit().await?;
        let actor = auth.0.actor();
        let new = NewReplay {
            tenant: Some(tenant.clone()),
            what: What::DeadLetters(DeadLetterQuery {
                messages: filter.messages,
                endpoint: filter.endpoint,
                event_type: filter.event_type,
                error: filter.error,
                since: filter.since,
                until: filter.until,
                ranges: OffsetRanges::default(),
            }),
            dry_run: body.0.dry_run,
            rate_per_second,
            created_by: actor.id.clone(),
        };
        let job = state.replays.create(new).await.map_err(not_replayed)?;
        let mut transaction = state.pool.tenant(tenant).await?;
        let after = json!({ "dry_run": job.dry_run, "rate_per_second": job.rate_per_second });
        audit(&mut transaction, &actor, Some(tenant), "dead_letters.redrive", job.id.as_str(), after).await?;
        transaction.commit().await?;
        Ok(Accepted(Replay::of(job, None)))
    }

    /// Give dead letters up
    ///
    /// Scope `dead-letters:write`. No replay delivers them any more; they stay in the list as `purged`. At most 10,000
    /// at once, the latest first. Answered once that is durable; the list follows within about a second.
    #[oai(path = "/dead-letters/purge", method = "post", operation_id = "purgeDeadLetters")]
    async fn purge(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<PurgeInput>,
    ) -> Result<Accepted<Purged>, WriteProblem> {
        let tenant = auth.tenant(Scope::DeadLettersWrite)?;
        let filter = body.0.check()?;
        let mut transaction = state.pool.tenant(tenant).await?;
        has_endpoint(&mut transaction, tenant, &filter).await?;
        let counts = dead_letters::count(&mut transaction, tenant, &filter).await?;
        let total: i64 = counts.iter().map(|count| count.count).sum();
        if body.0.dry_run {
            return Ok(Accepted(Purged { purged: 0, left: total }));
        }
        let letters = dead_letters::list(&mut transaction, tenant, &filter, None, MAX_PURGED).await?;
        transaction.commit().await?;
        let purged = i64::try_from(letters.len()).unwrap_or(i64::MAX);
        let now = state.replays.now();
        state
            .replays
            .mark(letters.into_iter().map(|row| purge_mark(row, now)).collect())
            .await
            .map_err(not_replayed)?;
        let mut transaction = state.pool.tenant(tenant).await?;
        let after = json!({ "purged": purged });
        audit(&mut transaction, &auth.0.actor(), Some(tenant), "dead_letters.purge", tenant.as_str(), after).await?;
        transaction.commit().await?;
        Ok(Accepted(Purged { purged, left: (total - purged).max(0) }))
    }
}

fn purge_mark(row: DeadLetterRow, at: Timestamp) -> DeadLetterMark {
    DeadLetterMark {
        message_id: row.message_id,
        run: row.run,
        endpoint: row.endpoint,
        mark: Mark::Purged,
        job: None,
        at,
    }
}

/// Writes down who did what with dead letters: what they stand in is Kafka's, so this follows it.
pub(super) async fn audit(
    conn: &mut PgConnection,
    actor: &Actor,
    tenant: Option<&TenantId>,
    action: &'static str,
    entity_id: &str,
    after: serde_json::Value,
) -> Result<(), Problem> {
    let change = Change { tenant, action, entity_id, before: None, after: Some(after) };
    Ok(record(conn, actor, clock::now(), change).await?)
}
