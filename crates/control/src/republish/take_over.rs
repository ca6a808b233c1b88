//! What the topic has newer than the database, into the database.

use std::collections::{HashMap, HashSet};

use postrider_domain::{ConfigBody, ConfigEntry, EntityId};
use postrider_postgres::{
    PgConnection,
    endpoints::{self, EndpointRow},
    event_types::{self, EventTypeRow},
    subscriptions::{self, SubscriptionRow},
    tenants::{self, Quotas, TenantRow},
};

use super::{
    Choice, Report, RepublishError, everything,
    rows::{self, write_down},
};
use crate::manage::{self, Edit};

/// The topic beside the database.
pub(super) struct TakeOver<'a> {
    pub edit: Edit<'a>,
    /// What the topic has.
    pub entries: &'a HashMap<EntityId, ConfigEntry>,
    /// What lived in the topic when the backup was made.
    pub published: &'a HashSet<EntityId>,
    pub choice: &'a Choice,
    pub report: &'a mut Report,
}

/// How an entity of the database stands to the topic.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Since<'a> {
    /// It was not changed.
    Unchanged,
    /// It was changed to this, at this version.
    Changed(i64, &'a ConfigBody),
    /// It was deleted.
    Deleted,
}

/// `is_published`: whether it lived in the topic when the backup was made. What did and is not even there as deleted
/// was deleted so long ago that its record became a tombstone.
fn since(entry: Option<&ConfigEntry>, version: i64, is_published: bool) -> Since<'_> {
    match entry {
        Some(entry) if !entry.body.is_live() => Since::Deleted,
        Some(entry) if entry.entity_version > version => Since::Changed(entry.entity_version, &entry.body),
        None if is_published => Since::Deleted,
        Some(_) | None => Since::Unchanged,
    }
}

impl<'a> TakeOver<'a> {
    pub async fn run(mut self, conn: &mut PgConnection) -> Result<(), RepublishError> {
        let mut seen = HashSet::new();
        for row in everything::all_tenants(conn).await? {
            self.tenant(conn, row, &mut seen).await?;
        }
        for row in everything::all_event_types(conn).await? {
            self.event_type(conn, &row).await?;
            seen.insert((&row.id).into());
        }
        self.make(conn, &seen).await
    }

    async fn event_type(&mut self, conn: &mut PgConnection, row: &EventTypeRow) -> Result<(), RepublishError> {
        let id = EntityId::from(&row.id);
        match self.since(&id, &[], row.version) {
            Since::Unchanged => {}
            Since::Deleted => {
                manage::event_types::delete_known(conn, self.edit.actor, self.edit.now, row).await?;
                self.report.deleted.push(id);
            }
            Since::Changed(version, body) => {
                if let ConfigBody::EventType(now) = body {
                    let after = rows::event_type(Some(row), now, version, self.edit.now);
                    event_types::update(conn, &after).await?;
                    let (before, now) = (manage::event_types::audited(row), manage::event_types::audited(&after));
                    write_down(self.edit, conn, None, &id, Some(before), now).await?;
                    self.report.changed.push(id);
                }
            }
        }
        Ok(())
    }

    /// A tenant and what it owns.
    async fn tenant(
        &mut self,
        conn: &mut PgConnection,
        row: TenantRow,
        seen: &mut HashSet<EntityId>,
    ) -> Result<(), RepublishError> {
        let id = EntityId::from(&row.id);
        let owned =
            (everything::all_endpoints(conn, &row.id).await?, everything::all_subscriptions(conn, &row.id).await?);
        seen.insert(id.clone());
        seen.extend(owned.0.iter().map(|row| EntityId::from(&row.id)));
        seen.extend(owned.1.iter().map(|row| EntityId::from(&row.id)));
        match self.since(&id, &[], row.version) {
            Since::Unchanged => {}
            Since::Deleted => {
                manage::tenants::delete_known(self.edit, conn, &row).await?;
                self.report.deleted.push(id);
                return Ok(());
            }
            Since::Changed(version, body) => {
                if let ConfigBody::Tenant(now) = body {
                    let after = rows::tenant(&row, now, version, self.edit.now);
                    tenants::update(conn, &after).await?;
                    let (before, now) = (manage::tenants::audited(&row), manage::tenants::audited(&after));
                    write_down(self.edit, conn, Some(&row.id), &id, Some(before), now).await?;
                    self.report.changed.push(id);
                }
            }
        }
        let mut gone = HashSet::new();
        for endpoint in owned.0 {
            if self.endpoint(conn, &endpoint).await? {
                gone.insert(endpoint.id);
            }
        }
        for subscription in owned.1 {
            if !gone.contains(&subscription.endpoint) {
                self.subscription(conn, &subscription).await?;
            }
        }
        Ok(())
    }

    /// Whether it is gone.
    async fn endpoint(&mut self, conn: &mut PgConnection, row: &EndpointRow) -> Result<bool, RepublishError> {
        let id = EntityId::from(&row.id);
        match self.since(&id, &[row.tenant.as_str()], row.version) {
            Since::Unchanged => {}
            Since::Deleted => {
                manage::endpoints::delete_known(self.edit, conn, row).await?;
                self.report.deleted.push(id);
                return Ok(true);
            }
            Since::Changed(version, body) => {
                if let ConfigBody::Endpoint(now) = body {
                    rows::change_endpoint(self.edit, conn, row, now, version).await?;
                    self.report.changed.push(id);
                }
            }
        }
        Ok(false)
    }

    async fn subscription(&mut self, conn: &mut PgConnection, row: &SubscriptionRow) -> Result<(), RepublishError> {
        let id = EntityId::from(&row.id);
        match self.since(&id, &[row.tenant.as_str(), row.endpoint.as_str()], row.version) {
            Since::Unchanged => {}
            Since::Deleted => {
                manage::subscriptions::delete_known(self.edit, conn, row).await?;
                self.report.deleted.push(id);
            }
            Since::Changed(version, body) => {
                if let ConfigBody::Subscription(now) = body {
                    let after = rows::subscription(now, version, self.edit.now);
                    subscriptions::update(conn, &row.tenant, &after).await?;
                    let (before, now) = (manage::subscriptions::audited(row), manage::subscriptions::audited(&after));
                    write_down(self.edit, conn, Some(&row.tenant), &id, Some(before), now).await?;
                    self.report.changed.push(id);
                }
            }
        }
        Ok(())
    }

    /// Makes what the topic has and the database has not: owners first.
    async fn make(&mut self, conn: &mut PgConnection, seen: &HashSet<EntityId>) -> Result<(), RepublishError> {
        let entries = self.entries;
        let mut missing: Vec<&ConfigEntry> =
            entries.values().filter(|entry| entry.body.is_live() && !seen.contains(&entry.body.key())).collect();
        missing.sort_by_key(|entry| (rank(&entry.body), entry.body.key()));
        for ConfigEntry { entity_version, body, .. } in missing {
            if self.make_one(conn, *entity_version, body).await? {
                self.report.made.push(body.key());
            }
        }
        Ok(())
    }

    /// False if its owner is gone, or another has its name.
    async fn make_one(&self, conn: &mut PgConnection, version: i64, body: &ConfigBody) -> Result<bool, RepublishError> {
        let (edit, now) = (self.edit, self.edit.now);
        match body {
            ConfigBody::Tenant(tenant) => {
                let made = tenants::insert(conn, &tenant.id, &tenant.name, Quotas::default(), now).await?;
                let row = rows::tenant(&made, tenant, version, now);
                tenants::update(conn, &row).await?;
                let after = manage::tenants::audited(&row);
                write_down(edit, conn, Some(&row.id), &body.key(), None, after).await?;
            }
            ConfigBody::Endpoint(endpoint) => {
                if tenants::get(conn, &endpoint.tenant).await?.is_none() {
                    return Ok(false);
                }
                rows::make_endpoint(edit, conn, endpoint, version).await?;
            }
            ConfigBody::Subscription(subscription) => {
                if endpoints::get(conn, &subscription.tenant, &subscription.endpoint).await?.is_none() {
                    return Ok(false);
                }
                let row = rows::subscription(subscription, version, now);
                subscriptions::insert(conn, &row.tenant, &row).await?;
                let after = manage::subscriptions::audited(&row);
                write_down(edit, conn, Some(&row.tenant), &body.key(), None, after).await?;
            }
            ConfigBody::EventType(event_type) => {
                if event_types::get(conn, &event_type.name).await?.is_some() {
                    return Ok(false);
                }
                let row = rows::event_type(None, event_type, version, now);
                event_types::insert(conn, &row).await?;
                let after = manage::event_types::audited(&row);
                write_down(edit, conn, None, &body.key(), None, after).await?;
            }
            ConfigBody::Deleted(_) => return Ok(false),
        }
        Ok(true)
    }

    /// How an entity stands to the topic. What was deleted and is to be brought back, itself or with one of its
    /// `owners`, is unchanged.
    fn since(&mut self, id: &EntityId, owners: &[&str], version: i64) -> Since<'a> {
        let since = since(self.entries.get(id), version, self.published.contains(id));
        let is_wanted = |id: &&str| self.choice.bring_back.contains(*id);
        if since == Since::Deleted && std::iter::once(&id.as_str()).chain(owners).any(is_wanted) {
            self.report.brought_back.push(id.to_string());
            return Since::Unchanged;
        }
        since
    }
}

/// Owners come before what they own.
fn rank(body: &ConfigBody) -> u8 {
    match body {
        ConfigBody::Tenant(_) => 0,
        ConfigBody::Endpoint(_) => 1,
        ConfigBody::Subscription(_) | ConfigBody::EventType(_) | ConfigBody::Deleted(_) => 2,
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        DirectoryVersion, EntityKind, TenantId, Timestamp,
        config_entry::{Deleted, Tenant},
    };

    use super::*;

    fn entry(entity_version: i64, body: ConfigBody) -> ConfigEntry {
        ConfigEntry { version: DirectoryVersion { epoch: 1, seq: 1 }, entity_version, body }
    }

    #[test]
    fn what_the_topic_has_newer_counts_and_what_is_not_there_any_more_was_deleted() {
        let id = TenantId::from_trusted("ten_1");
        let live = ConfigBody::Tenant(Tenant::new(id.clone(), "Ann"));
        let deleted = Deleted { id: (&id).into(), entity: EntityKind::Tenant, at: Timestamp::EPOCH };
        let (same, newer) = (entry(3, live.clone()), entry(4, live.clone()));
        let gone = entry(4, ConfigBody::Deleted(deleted));
        let cases = [
            (Some(&same), true, Since::Unchanged),
            (Some(&newer), true, Since::Changed(4, &live)),
            (Some(&gone), true, Since::Deleted),
            (None, true, Since::Deleted), // so long ago that its record became a tombstone
            (None, false, Since::Unchanged), // it was never published
        ];
        for (entry, is_published, expected) in cases {
            assert_eq!(since(entry, 3, is_published), expected, "{entry:?}");
        }
    }
}
