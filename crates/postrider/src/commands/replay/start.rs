//! Starting a replay.

use anyhow::{anyhow, bail};
use postrider_control::{
    clock,
    replays::{BackfillOf, NewReplay, ReplayError, Replays, What},
};
use postrider_domain::{
    TenantId,
    replay::{DeadLetterQuery, OffsetRanges, RejectedQuery},
};

use super::watch;
use crate::{
    cli::{BackfillArguments, DeadLetterArguments, RejectedArguments, RunArguments},
    config::Loaded,
    roles,
};

/// How replays are started.
pub struct Start<'a> {
    /// What makes them.
    pub replays: &'a Replays,
    /// Whose things are replayed; none: everybody's.
    pub tenant: Option<&'a TenantId>,
    /// Whether to print for programs.
    pub json: bool,
}

impl Start<'_> {
    /// Starts a redrive.
    pub async fn dead_letters(&self, arguments: &DeadLetterArguments) -> anyhow::Result<()> {
        let now = self.replays.now();
        let query = DeadLetterQuery {
            messages: (!arguments.messages.is_empty()).then(|| arguments.messages.clone()),
            endpoint: arguments.endpoint.clone(),
            event_type: arguments.event_type.clone(),
            error: arguments.error,
            since: arguments.since.map(|since| since.from(now)),
            until: arguments.until.map(|until| until.from(now)),
            ranges: OffsetRanges::default(),
        };
        self.start(What::DeadLetters(query), &arguments.run).await
    }

    /// Starts to match rejected records again.
    pub async fn rejected(&self, arguments: &RejectedArguments) -> anyhow::Result<()> {
        let now = self.replays.now();
        let query = RejectedQuery {
            source: arguments.source.clone(),
            since: arguments.since.map(|since| since.from(now)),
            until: arguments.until.map(|until| until.from(now)),
            ranges: OffsetRanges::default(),
        };
        self.start(What::Rejected(query), &arguments.run).await
    }

    /// Starts a backfill.
    pub async fn backfill(&self, arguments: &BackfillArguments, loaded: &Loaded) -> anyhow::Result<()> {
        let now = self.replays.now();
        let of = match (&arguments.subscription, &arguments.endpoint) {
            (Some(subscription), _) => BackfillOf::Subscription(subscription.clone()),
            (None, Some(endpoint)) => BackfillOf::Endpoint(endpoint.clone()),
            (None, None) => bail!("--subscription or --endpoint is needed"),
        };
        let what = What::Backfill {
            source: roles::replay_source(&loaded.config, &arguments.source, arguments.topic.as_deref())
                .map_err(|why| anyhow!("--source: {why}"))?,
            of,
            since: arguments.since.from(now),
            until: arguments.until.map(|until| until.from(now)),
        };
        self.start(what, &arguments.run).await
    }

    async fn start(&self, what: What, run: &RunArguments) -> anyhow::Result<()> {
        let new = NewReplay {
            tenant: self.tenant.cloned(),
            what,
            dry_run: run.dry_run,
            rate_per_second: run.rate,
            created_by: "postrider replay".to_owned(),
        };
        let created = self.replays.create(new, &mut clock::rng()).await;
        let (job, following) = created.map_err(|error| match error {
            ReplayError::Refused { field, message } => anyhow!("--{field}: {message}"),
            other => other.into(),
        })?;
        watch::watch(&job, following, run.detach, self.json).await
    }
}
