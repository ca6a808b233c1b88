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
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let kept = Hook::create(&tenant, &receiver, "/kept", json!({})).await;
    let doomed = Hook::create(&tenant, &receiver, "/doomed", json!({})).await;
    let moved = Hook::create(&tenant, &receiver, "/old", json!({})).await;
    let (doomed_tenant, suspended) = (deployment.tenant().await, deployment.tenant().await);
    let (revoked, rotated) = (tenant.create_key(&["*"]).await, tenant.create_key(&["*"]).await);
    deployment.synced().await;
    let backup = Backup::take(&mut postgres, &deployment).await;
    let made = Hook::create(&tenant, &receiver, "/made", json!({})).await;
    let mut world =
        World { tenant, doomed_tenant, suspended, receiver: &receiver, kept, doomed, moved, made, revoked, rotated };
    world.change(&deployment).await;

    backup.restore(&mut postgres).await;
    eventually(LIMIT, "the relay to refuse", async || {
        let (status, parts) = deployment.readiness().await;
        let told = parts.to_string().contains("postrider config republish");
        (status == StatusCode::SERVICE_UNAVAILABLE && told).then_some(())
    })
    .await;
    world.nobody_is_believed_and_deliveries_go_on(&deployment).await;
    world.it_is_told_what_differs(&deployment).await;
    let done = republish(&deployment, &["--new-epoch"]).await;
    assert_eq!(done["done"], true, "{done}");
    working(&deployment, &world.tenant, 2).await;
    world.what_was_ended_stays_so(&deployment).await;

    // A process that reads the topic from its beginning finds it complete, as the running one does.
    deliver(&deployment, &world.tenant, "2").await;
    everybody_has(&receiver, 2).await;
    deployment.terminate().await;
    deployment.start_all().await;
    world.tenant = world.tenant.at(&deployment);
    deliver(&deployment, &world.tenant, "3").await;
    everybody_has(&receiver, 3).await;
    assert_eq!((world.doomed.count(), world.moved.count()), (0, 0));
    let verified = postrider(&["audit", "verify"], Some(&deployment.settings.to_text()), &[]).await;
    assert_eq!(verified.code, 0, "{verified:?}");

    // Restored once more, with nothing running.
    deployment.kill().await;
    backup.restore(&mut postgres).await;
    let mut owner = postrider_postgres::connect(&database, 1).await.unwrap().acquire().await.unwrap();
    let long_ago = "UPDATE relay_state SET worked_at = now() - interval '31 days'";
    postrider_postgres::local::execute(&mut owner, long_ago).await.unwrap();
    world.what_is_named_is_brought_back(&mut deployment).await;
}

/// What there is, and what becomes of it after the backup.
struct World<'a> {
    tenant: Tenant,
    /// Deleted since.
    doomed_tenant: Tenant,
    /// Suspended since.
    suspended: Tenant,
    receiver: &'a Receiver,
    kept: Hook<'a>,
    /// Deleted since.
    doomed: Hook<'a>,
    /// Goes to `/new` since, signed by another secret.
    moved: Hook<'a>,
    /// Made since.
    made: Hook<'a>,
    revoked: Value,
    rotated: Value,
}

impl World<'_> {
    async fn change(&self, deployment: &Deployment) {
        let (api, operator) = (&self.tenant.api, deployment.operator());
        let key = |key: &Value| format!("/v1/api-keys/{}", id(key));
        for path in [format!("/v1/endpoints/{}", self.doomed.id), key(&self.revoked)] {
            assert_eq!(api.delete(&path).await.unwrap().0, StatusCode::NO_CONTENT);
        }
        let at_once = json!({"grace_seconds": 0});
        assert!(api.post(&format!("{}/rotate", key(&self.rotated)), &at_once).await.unwrap().0.is_success());
        self.tenant.patch_endpoint(&self.moved.id, &json!({"url": self.receiver.url("/new")})).await;
        let rotate = format!("/v1/endpoints/{}/secrets/rotate", self.moved.id);
        let (status, secret) = api.post(&rotate, &at_once).await.unwrap();
        assert!(status.is_success(), "{secret}");
        self.receiver.verify("/new", secret["secret"].as_str().unwrap()).unwrap();
        let gone = format!("/v1/tenants/{}", self.doomed_tenant.id);
        assert_eq!(operator.delete(&gone).await.unwrap().0, StatusCode::NO_CONTENT);
        let suspend = format!("/v1/tenants/{}/suspend", self.suspended.id);
        assert!(operator.post(&suspend, &json!({"reason": "unpaid"})).await.unwrap().0.is_success());
        deployment.synced().await;
    }

    async fn nobody_is_believed_and_deliveries_go_on(&self, deployment: &Deployment) {
        for key in [self.tenant.key.as_str(), deployment.operator_key(), self.revoked["key"].as_str().unwrap()] {
            let (status, problem) = deployment.client(key).get("/v1/event-types").await.unwrap();
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains("postrider config republish"), "{problem}");
        }
        deliver(deployment, &self.tenant, "1").await;
        everybody_has(self.receiver, 1).await;
    }

    async fn it_is_told_what_differs(&self, deployment: &Deployment) {
        let told = republish(deployment, &[]).await;
        assert_eq!((&told["done"], &told["epoch"]), (&json!(false), &json!(2)), "{told}");
        assert_eq!(told["deleted"], sorted(&[&self.doomed.id, &self.doomed_tenant.id]), "{told}");
        assert_eq!(told["revoked"], sorted(&[id(&self.revoked), id(&self.rotated)]), "{told}");
        assert_eq!(told["changed"], sorted(&[&self.moved.id, &self.suspended.id]), "{told}");
        assert!(told["made"].as_array().unwrap().contains(&json!(self.made.id)), "{told}");
        let (status, _) = self.tenant.api.get("/v1/endpoints").await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nothing was changed");
    }

    async fn what_was_ended_stays_so(&self, deployment: &Deployment) {
        for (key, expected) in [
            (self.revoked["key"].as_str().unwrap(), StatusCode::UNAUTHORIZED),
            (self.rotated["key"].as_str().unwrap(), StatusCode::UNAUTHORIZED),
            (&self.doomed_tenant.key, StatusCode::UNAUTHORIZED),
            (&self.suspended.key, StatusCode::FORBIDDEN),
            (&self.tenant.key, StatusCode::OK),
        ] {
            assert_eq!(deployment.client(key).get("/v1/endpoints").await.unwrap().0, expected);
        }
        assert_eq!(endpoints(&self.tenant).await, sorted(&[&self.kept.id, &self.moved.id, &self.made.id]));
    }

    /// The backup is too old to know which keys were revoked since.
    async fn what_is_named_is_brought_back(&mut self, deployment: &mut Deployment) {
        let told = republish(deployment, &[]).await;
        assert!(told["all_revoked"] == true && told["revoked"].as_array().unwrap().len() > 4, "{told}");
        let unknown = run(deployment, &["--new-epoch", "--bring-back", &self.kept.id]).await;
        assert_eq!(unknown.code, 1, "{unknown:?}");
        assert!(unknown.stderr.contains(&self.kept.id), "{unknown:?}");
        let (doomed, revoked) = (&self.doomed.id, id(&self.revoked));
        let asked = ["--new-epoch", "--keep-keys", "--bring-back", doomed, "--bring-back", revoked];
        let done = republish(deployment, &asked).await;
        assert_eq!(done["revoked"], sorted(&[id(&self.rotated)]), "{done}");
        deployment.start_all().await;
        self.tenant = self.tenant.at(deployment);
        working(deployment, &self.tenant, 3).await;
        let all = [&self.kept.id, &self.moved.id, &self.made.id, doomed].map(String::as_str);
        assert_eq!(endpoints(&self.tenant).await, sorted(&all));
        let api = deployment.client(self.revoked["key"].as_str().unwrap());
        assert_eq!(api.get("/v1/endpoints").await.unwrap().0, StatusCode::OK);
        deliver(deployment, &self.tenant, "4").await;
        self.doomed.wait_for(1).await;
        assert_eq!(republish(deployment, &[]).await["epoch"], json!(null), "there is nothing to do any more");
    }
}

fn id(entity: &Value) -> &str {
    entity["id"].as_str().unwrap()
}

fn sorted(ids: &[&str]) -> Value {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    json!(ids)
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
