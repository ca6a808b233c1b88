//! Postgres is restored from an older backup: what was deleted and revoked since does not come back by accident.

use std::path::Path;

use postrider_testkit::{LocalPostgres, Receiver, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Finished, Hook, LIMIT, Tenant, Test, event, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![a_restored_backup_brings_back_neither_deleted_endpoints_nor_revoked_keys]
}

async fn a_restored_backup_brings_back_neither_deleted_endpoints_nor_revoked_keys(context: Context) {
    let mut postgres = LocalPostgres::start(None).await.unwrap();
    let database = postgres.create_database("postrider").await.unwrap();
    let mut deployment = Deployment::prepare_on(&context, "restored", &database, "").await;
    deployment.start_all().await;
    let (tenant, doomed_tenant, suspended) =
        (deployment.tenant().await, deployment.tenant().await, deployment.tenant().await);
    let receiver = deployment.receiver().await;
    let kept = Hook::create(&tenant, &receiver, "/kept", json!({})).await;
    let doomed = Hook::create(&tenant, &receiver, "/doomed", json!({})).await;
    let moved = Hook::create(&tenant, &receiver, "/old", json!({})).await;
    let (revoked, rotated) = (tenant.create_key(&["*"]).await, tenant.create_key(&["*"]).await);
    deployment.synced().await;
    let backup = Backup::take(&mut postgres, &deployment).await;

    // Since the backup …
    let operator = deployment.operator();
    assert_eq!(tenant.api.delete(&format!("/v1/endpoints/{}", doomed.id)).await.unwrap().0, StatusCode::NO_CONTENT);
    let key = |key: &Value| format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
    assert_eq!(tenant.api.delete(&key(&revoked)).await.unwrap().0, StatusCode::NO_CONTENT);
    let at_once = json!({"grace_seconds": 0});
    assert_eq!(tenant.api.post(&format!("{}/rotate", key(&rotated)), &at_once).await.unwrap().0, StatusCode::OK);
    tenant.patch_endpoint(&moved.id, &json!({"url": receiver.url("/new")})).await;
    let rotate = format!("/v1/endpoints/{}/secrets/rotate", moved.id);
    let (status, secret) = tenant.api.post(&rotate, &at_once).await.unwrap();
    assert!(status.is_success(), "{secret}");
    receiver.verify("/new", secret["secret"].as_str().unwrap()).unwrap();
    let made = Hook::create(&tenant, &receiver, "/made", json!({})).await;
    let gone = format!("/v1/tenants/{}", doomed_tenant.id);
    assert_eq!(operator.delete(&gone).await.unwrap().0, StatusCode::NO_CONTENT);
    let suspend = format!("/v1/tenants/{}/suspend", suspended.id);
    assert!(operator.post(&suspend, &json!({"reason": "unpaid"})).await.unwrap().0.is_success());
    deployment.synced().await;

    // … the backup is restored: nothing is published over what is newer, no key is believed, and deliveries go on.
    backup.restore(&mut postgres).await;
    refusing(&deployment).await;
    for key in [tenant.key.as_str(), deployment.operator_key(), revoked["key"].as_str().unwrap()] {
        let (status, problem) = deployment.client(key).get("/v1/event-types").await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("postrider config republish"), "{problem}");
    }
    deliver(&deployment, &tenant, "1").await;
    for path in ["/kept", "/new", "/made"] {
        receiver.wait_for(path, 1, LIMIT).await;
    }

    // Without --new-epoch it is told what would be done.
    let told = republish(&deployment, &[]).await;
    assert_eq!((&told["done"], &told["epoch"]), (&json!(false), &json!(2)), "{told}");
    assert_eq!(told["deleted"], sorted(&[&doomed.id, &doomed_tenant.id]), "{told}");
    assert_eq!(told["revoked"], sorted(&[id(&revoked), id(&rotated)]), "{told}");
    assert_eq!(told["changed"], sorted(&[&moved.id, &suspended.id]), "{told}");
    assert!(told["made"].as_array().unwrap().contains(&json!(made.id)), "{told}");
    assert_eq!(tenant.api.get("/v1/endpoints").await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);

    let done = republish(&deployment, &["--new-epoch"]).await;
    assert_eq!(done["done"], true, "{done}");
    working(&deployment, &tenant, 2).await;
    for (key, expected) in [
        (revoked["key"].as_str().unwrap(), StatusCode::UNAUTHORIZED),
        (rotated["key"].as_str().unwrap(), StatusCode::UNAUTHORIZED),
        (&doomed_tenant.key, StatusCode::UNAUTHORIZED),
        (&suspended.key, StatusCode::FORBIDDEN),
        (&tenant.key, StatusCode::OK),
    ] {
        assert_eq!(deployment.client(key).get("/v1/endpoints").await.unwrap().0, expected);
    }
    assert_eq!(endpoints(&tenant).await, sorted(&[&kept.id, &moved.id, &made.id]));
    // A process that reads the topic from its beginning finds it complete, as the running one does.
    deliver(&deployment, &tenant, "2").await;
    everybody_has(&receiver, 2).await;
    deployment.kill().await;
    deployment.start_all().await;
    let tenant = tenant.at(&deployment);
    deliver(&deployment, &tenant, "3").await;
    everybody_has(&receiver, 3).await;
    assert_eq!((doomed.count(), moved.count()), (0, 0));
    let verified = postrider(&["audit", "verify"], Some(&deployment.settings.to_text()), &[]).await;
    assert_eq!(verified.code, 0, "{verified:?}");

    // Restored once more: what is asked for by name comes back.
    backup.restore(&mut postgres).await;
    refusing(&deployment).await;
    let unknown = run(&deployment, &["--new-epoch", "--bring-back", &kept.id]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains(&kept.id), "{unknown:?}");
    let mut owner = postrider_postgres::connect(&database, 1).await.unwrap().acquire().await.unwrap();
    let long_ago = "UPDATE relay_state SET worked_at = now() - interval '31 days'";
    postrider_postgres::local::execute(&mut owner, long_ago).await.unwrap();
    let told = republish(&deployment, &[]).await;
    assert!(told["all_revoked"] == true && told["revoked"].as_array().unwrap().len() > 4, "{told}");
    let asked = ["--new-epoch", "--keep-keys", "--bring-back", &doomed.id, "--bring-back", id(&revoked)];
    let done = republish(&deployment, &asked).await;
    assert_eq!(done["revoked"], sorted(&[id(&rotated)]), "{done}");
    working(&deployment, &tenant, 3).await;
    assert_eq!(endpoints(&tenant).await, sorted(&[&kept.id, &moved.id, &made.id, &doomed.id]));
    assert_eq!(
        deployment.client(revoked["key"].as_str().unwrap()).get("/v1/endpoints").await.unwrap().0,
        StatusCode::OK
    );
    deliver(&deployment, &tenant, "4").await;
    doomed.wait_for(1).await;
    assert_eq!(republish(&deployment, &[]).await["epoch"], json!(null), "there is nothing to do any more");
}

fn id(entity: &Value) -> &str {
    entity["id"].as_str().unwrap()
}

fn sorted(ids: &[&str]) -> Value {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    json!(ids)
}

/// Waits until the relay says that the topic is ahead, and what to do.
async fn refusing(deployment: &Deployment) {
    eventually(LIMIT, "the relay to refuse", async || {
        let (status, parts) = deployment.readiness().await;
        let told = parts.to_string().contains("postrider config republish");
        (status == StatusCode::SERVICE_UNAVAILABLE && told).then_some(())
    })
    .await;
}

/// Waits until everything is published under this epoch, and the process is ready.
async fn working(deployment: &Deployment, tenant: &Tenant, epoch: i64) {
    eventually(LIMIT, "the relay to publish the new epoch", async || {
        let version = deployment.published_version().await;
        let is_ready = deployment.readiness().await.0 == StatusCode::OK;
        (version.epoch == epoch && version.seq > 0 && is_ready).then_some(())
    })
    .await;
    // An edit behind it all: once the directory has that, it has everything before.
    tenant.patch_endpoint(endpoints(tenant).await[0].as_str().unwrap(), &json!({"description": "edited"})).await;
    deployment.synced().await;
}

async fn endpoints(tenant: &Tenant) -> Value {
    let listed = tenant.list("/v1/endpoints?limit=100").await;
    sorted(&listed.iter().map(id).collect::<Vec<_>>())
}

async fn deliver(deployment: &Deployment, tenant: &Tenant, id: &str) {
    deployment.write(&event(deployment, tenant, id, "order.created", &json!(id))).await;
}

async fn everybody_has(receiver: &Receiver, count: usize) {
    for path in ["/kept", "/new", "/made"] {
        receiver.wait_for(path, count, LIMIT).await;
        assert_eq!((receiver.count(path), receiver.bad_signatures(path)), (count, 0), "{path}");
    }
}

async fn run(deployment: &Deployment, more: &[&str]) -> Finished {
    let arguments: Vec<&str> = ["config", "republish", "--output", "json"].iter().chain(more).copied().collect();
    postrider(&arguments, Some(&deployment.settings.to_text()), &[]).await
}

/// What the command says, its lists sorted.
async fn republish(deployment: &Deployment, more: &[&str]) -> Value {
    let finished = run(deployment, more).await;
    assert_eq!(finished.code, 0, "{finished:?}");
    let mut said: Value = serde_json::from_str(finished.stdout.trim()).unwrap();
    for list in said.as_object_mut().unwrap().values_mut().filter_map(Value::as_array_mut) {
        list.sort_by_key(ToString::to_string);
    }
    said
}

/// A copy of the server's files.
struct Backup(tempfile::TempDir);

impl Backup {
    /// Takes it with the server stopped, and waits until everything works again.
    async fn take(postgres: &mut LocalPostgres, deployment: &Deployment) -> Self {
        postgres.stop().await.unwrap();
        let backup = Self(tempfile::tempdir().unwrap());
        copy(&postgres.folder().join("data"), &backup.0.path().join("data")).await;
        postgres.restart().await.unwrap();
        eventually(LIMIT, "the process to be ready again", async || {
            (deployment.readiness().await.0 == StatusCode::OK).then_some(())
        })
        .await;
        backup
    }

    async fn restore(&self, postgres: &mut LocalPostgres) {
        postgres.stop().await.unwrap();
        let data = postgres.folder().join("data");
        std::fs::remove_dir_all(&data).unwrap();
        copy(&self.0.path().join("data"), &data).await;
        postgres.restart().await.unwrap();
    }
}

/// Copies a folder with all there is to say about its files.
async fn copy(from: &Path, to: &Path) {
    let status = tokio::process::Command::new("cp").arg("-a").args([from, to]).status().await.unwrap();
    assert!(status.success(), "cp -a {} {}", from.display(), to.display());
}
