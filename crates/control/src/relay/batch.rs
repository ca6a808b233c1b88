//! What a batch of changes comes to: versions, records and the number of live entities.

use std::collections::HashMap;

use postrider_domain::{ConfigBody, ConfigEntry, ConfigMarker, DirectoryVersion, EntityId};
use postrider_postgres::{
    outbox::OutboxRow,
    relay_state::{PublishedEntity, RelayState},
};

/// A batch, ready to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// What to publish, in order.
    pub entries: Vec<ConfigEntry>,
    /// The marker that ends the batch; none if it neither creates nor deletes.
    pub marker: Option<ConfigMarker>,
    /// The directory's version after the batch.
    pub version: DirectoryVersion,
    /// How many entities are live after it.
    pub live: i64,
    /// The entities that it touches, as they are after it.
    pub entities: Vec<PublishedEntity>,
    /// The changes that are done with once it is published and recorded.
    pub outbox_ids: Vec<i64>,
}

/// Makes a batch of `rows`, which follow on `state`; `known` are those of their entities that were published.
///
/// A change that is not newer than what was published is left out: readers would ignore it, and so it must
/// not count. If the batch was published before and recording it failed, `known` and the number of live
/// entities are as they were then, so the count comes out right; seqs go on behind all that may have been
/// used, because rows that were committed late may now stand among the others, and no seq may ever mean two
/// different changes.
pub fn build(state: RelayState, known: Vec<PublishedEntity>, rows: Vec<OutboxRow>) -> Batch {
    let mut known: HashMap<EntityId, PublishedEntity> =
        known.into_iter().map(|entity| (entity.entity.clone(), entity)).collect();
    let mut batch = Batch {
        entries: Vec::with_capacity(rows.len()),
        marker: None,
        version: state.version,
        live: state.live,
        entities: Vec::new(),
        outbox_ids: rows.iter().map(|row| row.id).collect(),
    };
    let mut seq = state.reserved_seq;
    let mut touched = Vec::new();
    let mut membership_changed = false;
    for row in rows {
        let before = known.get(&row.entity);
        if before.is_some_and(|before| row.entity_version <= before.entity_version) {
            continue;
        }
        let was_live = before.is_some_and(|before| before.deleted_at.is_none());
        let after = after(&row);
        match (was_live, after.deleted_at.is_none()) {
            (false, true) => batch.live += 1,
            (true, false) => batch.live -= 1,
            _ => {}
        }
        membership_changed |= was_live != after.deleted_at.is_none();
        seq += 1;
        batch.version.seq = seq;
        batch.entries.push(ConfigEntry { version: batch.version, entity_version: row.entity_version, body: row.body });
        touched.push(row.entity.clone());
        known.insert(row.entity, after);
    }
    touched.sort_unstable();
    touched.dedup();
    batch.entities = touched.iter().filter_map(|entity| known.remove(entity)).collect();
    batch.marker = membership_changed.then_some(ConfigMarker { version: batch.version, live: batch.live });
    batch
}

/// An entity after its change.
fn after(row: &OutboxRow) -> PublishedEntity {
    PublishedEntity {
        entity: row.entity.clone(),
        entity_version: row.entity_version,
        deleted_at: match &row.body {
            ConfigBody::Deleted(deleted) => Some(deleted.at.to_datetime()),
            ConfigBody::Tenant(_)
            | ConfigBody::Endpoint(_)
            | ConfigBody::Subscription(_)
            | ConfigBody::EventType(_) => None,
        },
    }
}

/// How the topic stands to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What is in the topic is what this database published; what may be beyond its last record was
    /// published by a batch whose recording failed. Or the database begins an epoch.
    Agree,
    /// Somebody published what this database knows nothing of.
    TopicAhead,
    /// The topic has lost what this database published.
    TopicBehind,
}

/// Compares the highest version found in the topic (none: the topic is empty) with the database.
pub fn standing(topic: Option<DirectoryVersion>, state: &RelayState) -> Standing {
    let reserved = DirectoryVersion { epoch: state.version.epoch, seq: state.reserved_seq };
    // The first marker of all has seq 0, and so has a database that has published nothing.
    let topic = topic.unwrap_or(DirectoryVersion { epoch: state.version.epoch, seq: 0 });
    let epoch_begins = state.version.seq == 0 && topic.epoch < state.version.epoch;
    if topic > reserved {
        Standing::TopicAhead
    } else if topic < state.version && !epoch_begins {
        Standing::TopicBehind
    } else {
        Standing::Agree
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        EntityKind, TenantId, Timestamp,
        config_entry::{Deleted, Tenant},
    };

    use super::*;

    fn state(seq: i64, reserved_seq: i64, live: i64) -> RelayState {
        RelayState { version: DirectoryVersion { epoch: 1, seq }, reserved_seq, live }
    }

    fn created(id: i64, tenant: &str, entity_version: i64) -> OutboxRow {
        let body = ConfigBody::Tenant(Tenant::new(TenantId::from_trusted(tenant), tenant));
        OutboxRow { id, entity: body.key(), entity_version, body }
    }

    fn deleted(id: i64, tenant: &str, entity_version: i64) -> OutboxRow {
        let entity = EntityId::from_trusted(tenant);
        let at = Timestamp::from_millis(7);
        let body = ConfigBody::Deleted(Deleted { id: entity.clone(), entity: EntityKind::Tenant, at });
        OutboxRow { id, entity, entity_version, body }
    }

    fn live_entity(id: &str, entity_version: i64) -> PublishedEntity {
        PublishedEntity { entity: EntityId::from_trusted(id), entity_version, deleted_at: None }
    }

    fn versions(batch: &Batch) -> Vec<i64> {
        batch.entries.iter().map(|entry| entry.version.seq).collect()
    }

    #[test]
    fn creations_and_deletions_are_counted_and_end_with_a_marker() {
        let known = vec![live_entity("ten_b", 1)];
        let batch = build(
            state(10, 10, 1),
            known,
            vec![created(1, "ten_a", 1), deleted(2, "ten_b", 2), created(3, "ten_c", 1)],
        );
        assert_eq!(versions(&batch), [11, 12, 13]);
        assert_eq!(batch.live, 2);
        assert_eq!(batch.marker, Some(ConfigMarker { version: DirectoryVersion { epoch: 1, seq: 13 }, live: 2 }));
        assert_eq!(batch.outbox_ids, [1, 2, 3]);
        let gone = batch.entities.iter().find(|entity| entity.entity.as_str() == "ten_b").unwrap();
        assert_eq!(gone.deleted_at, Some(Timestamp::from_millis(7).to_datetime()));
    }

    #[test]
    fn an_edit_needs_no_marker() {
        let batch = build(state(10, 10, 1), vec![live_entity("ten_a", 1)], vec![created(1, "ten_a", 2)]);
        assert_eq!((versions(&batch), batch.marker, batch.live), (vec![11], None, 1));
        assert_eq!(batch.entities, [live_entity("ten_a", 2)]);
    }

    #[test]
    fn what_is_created_and_deleted_in_one_batch_counts_nothing_but_is_marked() {
        let batch = build(state(0, 0, 4), vec![], vec![created(1, "ten_a", 1), deleted(2, "ten_a", 2)]);
        assert_eq!((batch.entries.len(), batch.live), (2, 4));
        assert_eq!(batch.marker.unwrap().live, 4);
        assert_eq!(batch.entities.len(), 1);
    }

    #[test]
    fn a_change_that_is_not_newer_is_done_with_unpublished() {
        let batch =
            build(state(5, 9, 1), vec![live_entity("ten_a", 3)], vec![created(1, "ten_a", 3), deleted(2, "ten_a", 2)]);
        assert!(batch.entries.is_empty() && batch.entities.is_empty());
        assert_eq!((batch.live, batch.version.seq, batch.outbox_ids), (1, 5, vec![1, 2]));
    }

    #[test]
    fn publishing_again_after_a_lost_recording_counts_the_same() {
        let rows = vec![created(1, "ten_a", 1), created(2, "ten_b", 1)];
        let lost = build(state(0, 2, 0), vec![], rows.clone());
        let mut more = rows;
        more.push(created(3, "ten_c", 1));
        let again = build(state(0, 2, 0), vec![], more);
        assert_eq!((lost.live, again.live), (2, 3));
        assert_eq!(again.marker.unwrap().live, 3);
        assert_eq!(versions(&again), [3, 4, 5], "a seq is never used twice");
    }

    #[test]
    fn the_topic_may_be_ahead_by_what_was_reserved_and_no_more() {
        let version = |epoch, seq| Some(DirectoryVersion { epoch, seq });
        let cases = [
            (None, state(0, 0, 0), Standing::Agree),
            (version(1, 0), state(0, 0, 0), Standing::Agree),
            (version(1, 5), state(5, 5, 3), Standing::Agree),
            (version(1, 8), state(5, 8, 3), Standing::Agree),
            (version(1, 9), state(5, 8, 3), Standing::TopicAhead),
            (version(2, 1), state(5, 8, 3), Standing::TopicAhead),
            (version(1, 4), state(5, 8, 3), Standing::TopicBehind),
            (None, state(5, 8, 3), Standing::TopicBehind),
            (version(0, 8), state(0, 0, 3), Standing::Agree), // a new epoch, of which nothing is published
            (version(0, 8), state(0, 3, 3), Standing::Agree),
            (version(0, 8), state(2, 3, 3), Standing::TopicBehind),
        ];
        for (topic, state, expected) in cases {
            assert_eq!(standing(topic, &state), expected, "{topic:?} {state:?}");
        }
    }
}
