//! Everything that the directory is to have, into the outbox.

use std::collections::HashMap;

use postrider_domain::{ConfigBody, ConfigEntry, EntityId, EntityKind, TenantId, config_entry::Deleted};
use postrider_postgres::{
    Error, PgConnection, endpoints,
    event_types::{self, EventTypeFilter, EventTypeRow},
    outbox, republish, secrets, subscriptions,
    tenants::{self, TenantRow},
};

use crate::manage::{self, Edit};

/// How many rows are read at a time.
const PAGE: i64 = 500;

/// Puts all entities into the outbox, and that those of the topic which are not among them are deleted; returns how
/// many there are. `entries` is what the topic has.
pub(super) async fn publish(
    edit: Edit<'_>,
    conn: &mut PgConnection,
    entries: HashMap<EntityId, ConfigEntry>,
) -> Result<usize, Error> {
    let mut all = Everything { edit, live: 0, rest: entries };
    for tenant in all_tenants(conn).await? {
        all.push(conn, vec![(tenant.version, manage::tenants::entry(&tenant))]).await?;
        all.push_endpoints(conn, &tenant.id).await?;
        all.push_subscriptions(conn, &tenant.id).await?;
    }
    let types = all_event_types(conn).await?;
    all.push(conn, types.iter().map(|row| (row.version, manage::event_types::entry(row))).collect()).await?;
    for (id, entry) in all.rest {
        // That of an older epoch would be there for ever otherwise.
        outbox::push(conn, entry.entity_version + 1, &gone(edit, id, entry.body)).await?;
    }
    Ok(all.live)
}

/// Every tenant.
pub(super) async fn all_tenants(conn: &mut PgConnection) -> Result<Vec<TenantRow>, Error> {
    let mut all: Vec<TenantRow> = Vec::new();
    loop {
        let page = tenants::list(conn, all.last().map(|row| &row.id), PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Every event type: a few thousand at most.
pub(super) async fn all_event_types(conn: &mut PgConnection) -> Result<Vec<EventTypeRow>, Error> {
    let most = i64::try_from(manage::event_types::MAX_EVENT_TYPES).unwrap_or(i64::MAX);
    event_types::list(conn, &EventTypeFilter::default(), None, most).await
}

/// Every endpoint of a tenant.
pub(super) async fn all_endpoints(
    conn: &mut PgConnection,
    tenant: &TenantId,
) -> Result<Vec<endpoints::EndpointRow>, Error> {
    let mut all: Vec<endpoints::EndpointRow> = Vec::new();
    loop {
        let page = endpoints::list(conn, tenant, all.last().map(|row| &row.id), PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Every subscription of a tenant.
pub(super) async fn all_subscriptions(
    conn: &mut PgConnection,
    tenant: &TenantId,
) -> Result<Vec<subscriptions::SubscriptionRow>, Error> {
    let mut all: Vec<subscriptions::SubscriptionRow> = Vec::new();
    loop {
        let page = subscriptions::list(conn, tenant, None, all.last().map(|row| &row.id), PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

struct Everything<'a> {
    edit: Edit<'a>,
    live: usize,
    /// What the topic has and was not met yet.
    rest: HashMap<EntityId, ConfigEntry>,
}

impl Everything<'_> {
    async fn push_endpoints(&mut self, conn: &mut PgConnection, tenant: &TenantId) -> Result<(), Error> {
        let mut bodies = Vec::new();
        for row in all_endpoints(conn, tenant).await? {
            let current = secrets::list_current(conn, tenant, &row.id, self.edit.now).await?;
            let current = current.into_iter().map(|secret| secret.secret).collect();
            bodies.push((row.version, manage::endpoints::entry(&row, current)));
        }
        self.push(conn, bodies).await
    }

    async fn push_subscriptions(&mut self, conn: &mut PgConnection, tenant: &TenantId) -> Result<(), Error> {
        let rows = all_subscriptions(conn, tenant).await?;
        self.push(conn, rows.iter().map(|row| (row.version, manage::subscriptions::entry(row))).collect()).await
    }

    async fn push(&mut self, conn: &mut PgConnection, bodies: Vec<(i64, ConfigBody)>) -> Result<(), Error> {
        let expected: Vec<(EntityId, i64)> = bodies.iter().map(|(version, body)| (body.key(), *version)).collect();
        republish::expect(conn, &expected).await?;
        self.live += bodies.len();
        for (version, body) in &bodies {
            self.rest.remove(&body.key());
            outbox::push(conn, *version, body).await?;
        }
        Ok(())
    }
}

/// That an entity is gone: since when the topic says, if it says so.
fn gone(edit: Edit<'_>, id: EntityId, body: ConfigBody) -> ConfigBody {
    let entity = match body {
        ConfigBody::Tenant(_) => EntityKind::Tenant,
        ConfigBody::Endpoint(_) => EntityKind::Endpoint,
        ConfigBody::Subscription(_) => EntityKind::Subscription,
        ConfigBody::EventType(_) => EntityKind::EventType,
        ConfigBody::Deleted(deleted) => return ConfigBody::Deleted(deleted),
    };
    ConfigBody::Deleted(Deleted { id, entity, at: edit.now })
}
