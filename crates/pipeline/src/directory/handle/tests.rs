use std::time::Duration;

use postrider_domain::{
    ConfigBody, ConfigEntry, ConfigMarker, EntityId, EntityKind, TenantId, Timestamp,
    config_entry::{Deleted, Tenant},
};

use super::*;

fn version(seq: i64) -> DirectoryVersion {
    DirectoryVersion { epoch: 1, seq }
}

fn tenant() -> ConfigBody {
    ConfigBody::Tenant(Tenant::new(TenantId::from_trusted("ten_1"), "Ann"))
}

fn deleted_endpoint() -> ConfigBody {
    let id = EntityId::from_trusted("ep_1");
    ConfigBody::Deleted(Deleted { id, entity: EntityKind::Endpoint, at: Timestamp::EPOCH })
}

fn apply(directory: &Directory, seq: i64, body: ConfigBody) {
    directory.apply(Change::Entry(ConfigEntry { version: version(seq), entity_version: seq, body }));
}

#[test]
fn an_absent_endpoint_is_deleted_only_once_the_deliverys_version_is_reached() {
    let directory = Directory::with(vec![tenant(), deleted_endpoint()]);
    let endpoint = EndpointId::from_trusted("ep_1");
    assert_eq!(directory.lookup(&endpoint, Some(version(3))), Lookup::Behind);
    assert_eq!(directory.lookup(&endpoint, Some(version(2))), Lookup::Deleted);
    assert_eq!(directory.lookup(&endpoint, Some(version(1))), Lookup::Deleted);
    assert_eq!(directory.lookup(&endpoint, None), Lookup::Behind, "a test send names no version");
}

#[test]
fn nothing_is_deleted_in_a_directory_that_cant_be_worked_with() {
    let directory = Directory::with(vec![tenant()]);
    directory.change(State::shrunk);
    assert_eq!(directory.lookup(&EndpointId::from_trusted("ep_1"), Some(version(1))), Lookup::Behind);
}

#[test]
fn an_endpoint_whose_entry_cant_be_read_is_not_deleted() {
    let directory = Directory::with(vec![tenant()]);
    directory.apply(Change::Undecodable(EntityId::from_trusted("ep_1")));
    assert_eq!(directory.lookup(&EndpointId::from_trusted("ep_1"), Some(version(1))), Lookup::Behind);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_version_goes_on_when_it_is_read() {
    let directory = Directory::with(vec![tenant()]);
    let waiting = tokio::spawn({
        let directory = directory.clone();
        async move { directory.wait_for(version(2)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    apply(&directory, 2, deleted_endpoint());
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_work_goes_on_when_the_directory_is_complete() {
    let directory = Directory::new(Codec::new());
    let waiting = tokio::spawn({
        let directory = directory.clone();
        async move { directory.wait_until_working().await }
    });
    apply(&directory, 1, tenant());
    directory.apply(Change::Marker(ConfigMarker { version: version(1), live: 1 }));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    directory.change(State::end_of_partition);
    waiting.await.unwrap();
    assert!(directory.can_work());
}
