//! Row-level security, asked without any tenant in the queries.

use postrider_domain::{TenantId, Timestamp};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use super::{Database, Wall, connect_service};
use crate::{connect, local::LocalPostgres, migrate, tenants};

/// What belongs to the whole deployment, so that no policy is about tenants.
const OF_THE_DEPLOYMENT: [&str; 7] = [
    "_sqlx_migrations",
    "audit_chain",
    "audit_pending",
    "event_types",
    "kept_by_time",
    "projector_offsets",
    "relay_state",
];

struct Fixture {
    server: LocalPostgres,
    owner: PgPool,
    service: Database,
}

impl Fixture {
    /// A migrated database with the tenants `ten_1` and `ten_2`.
    async fn new() -> Self {
        let server = LocalPostgres::start(None).await.expect("Postgres starts");
        let owner = connect(&server.create_database("wall").await.unwrap(), 2).await.unwrap();
        migrate(&owner).await.unwrap();
        let service = connect_service(&server.service_url("wall"), 2).await.unwrap();
        let mut conn = service.acquire().await.unwrap();
        for number in [1, 2] {
            tenants::insert(&mut conn, &tenant(number), "Acme", tenants::Quotas::default(), Timestamp::EPOCH)
                .await
                .unwrap();
        }
        drop(conn);
        Self { server, owner, service }
    }
}

fn tenant(number: u8) -> TenantId {
    TenantId::from_trusted(format!("ten_{number}"))
}

/// What a query without a tenant finds.
async fn ids(conn: &mut PgConnection) -> Vec<String> {
    let rows = sqlx::query("SELECT id FROM tenants ORDER BY id").fetch_all(conn).await.unwrap();
    rows.into_iter().map(|row| row.get(0)).collect()
}

async fn refused(conn: &mut PgConnection, sql: &str) {
    let outcome = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(conn).await;
    let error = outcome.expect_err(sql);
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
    assert_eq!(code, "42501", "{sql}: {error}");
}

#[tokio::test]
async fn a_query_that_forgets_its_tenant_finds_that_tenants_rows_only() {
    let Fixture { server: _server, owner: _, service } = Fixture::new().await;
    assert_eq!(ids(&mut service.tenant(&tenant(1)).await.unwrap()).await, ["ten_1"]);
    assert_eq!(ids(&mut service.tenant(&tenant(2)).await.unwrap()).await, ["ten_2"]);
    assert_eq!(ids(&mut service.begin().await.unwrap()).await, ["ten_1", "ten_2"]);
    // The transaction's sight ends with it, on the same connection.
    assert_eq!(ids(&mut service.acquire().await.unwrap()).await, ["ten_1", "ten_2"]);
    let mut nobody = service.begin().await.unwrap();
    sqlx::query("SET LOCAL postrider.tenant = ''").execute(&mut *nobody).await.unwrap();
    assert!(ids(&mut nobody).await.is_empty());
    let quoted = TenantId::from_trusted("x' OR '1'='1");
    assert!(ids(&mut service.tenant(&quoted).await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn a_tenants_transaction_changes_nothing_of_another() {
    let Fixture { server: _server, owner: _, service } = Fixture::new().await;
    let mut tx = service.tenant(&tenant(1)).await.unwrap();
    let changed = sqlx::query("UPDATE tenants SET name = 'taken'").execute(&mut *tx).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let deleted = sqlx::query("DELETE FROM tenants WHERE id = 'ten_2'").execute(&mut *tx).await.unwrap();
    assert_eq!(deleted.rows_affected(), 0);
    refused(&mut tx, "INSERT INTO templates VALUES ('tpl_1', 'ten_2', '{}', 1, now(), now())").await;
    drop(tx);
    let mut tx = service.tenant(&tenant(1)).await.unwrap();
    sqlx::query("INSERT INTO outbox (entity_id, entity_version, body) VALUES ('ep_1', 1, '{}')")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert!(sqlx::query("SELECT id FROM outbox").fetch_all(&mut *tx).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_service_owns_nothing_and_can_not_pass_the_policies() {
    let Fixture { server, owner, service } = Fixture::new().await;
    assert_eq!(service.wall(), Wall::Login);
    for statement in [
        "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON tenants",
        "CREATE TABLE mine (id text)",
        "ALTER ROLE postrider BYPASSRLS",
        "SET ROLE postgres",
        "UPDATE _sqlx_migrations SET success = false",
    ] {
        refused(&mut service.acquire().await.unwrap(), statement).await;
    }
    let mut conn = service.tenant(&tenant(1)).await.unwrap();
    sqlx::query("SET LOCAL row_security = off").execute(&mut *conn).await.unwrap();
    refused(&mut conn, "SELECT id FROM tenants").await;

    // Who connects as the owner gives its rights up.
    let as_owner = connect_service(&server.url("wall"), 2).await.unwrap();
    assert_eq!(as_owner.wall(), Wall::RoleSet);
    assert_eq!(ids(&mut as_owner.tenant(&tenant(2)).await.unwrap()).await, ["ten_2"]);
    refused(&mut as_owner.acquire().await.unwrap(), "DROP POLICY tenant ON tenants").await;
    sqlx::query("CREATE ROLE stranger LOGIN").execute(&owner).await.unwrap();
    let stranger = server.url("wall").replacen("//postgres@", "//stranger@", 1);
    let error = connect_service(&stranger, 2).await.unwrap_err().to_string();
    assert!(error.contains("GRANT postrider_service TO \"stranger\""), "{error}");
}

#[tokio::test]
async fn every_table_has_a_policy_that_is_evaluated_once_per_statement() {
    let Fixture { server: _server, owner, service: _ } = Fixture::new().await;
    let tables = sqlx::query(
        "SELECT c.relname::text, c.relrowsecurity,
                EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'),
                coalesce((SELECT bool_and(coalesce(p.qual, '(SELECT') LIKE '%( SELECT current_setting(%'
                                          OR p.qual IS NULL)
                          FROM pg_policies p WHERE p.tablename = c.relname), false)
         FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
    )
    .fetch_all(&owner)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{}", tables.len());
    for row in tables {
        let (name, secured, of_tenants, once): (String, bool, bool, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if OF_THE_DEPLOYMENT.contains(&name.as_str()) {
            assert!(!of_tenants, "{name} has a tenant, and no policy about it");
        } else {
            assert!(secured && once, "{name}: row-level security {secured}, its policy evaluated once {once}");
        }
    }
}

#[tokio::test]
async fn an_unmigrated_database_says_what_it_lacks() {
    let server = LocalPostgres::start(None).await.expect("Postgres starts");
    server.create_database("empty").await.unwrap();
    for url in [server.url("empty"), server.service_url("empty")] {
        let service = connect_service(&url, 1).await.unwrap();
        assert!(service.pending_migrations().len() >= 8, "{:?}", service.pending_migrations());
    }
}

#[tokio::test]
async fn a_partition_shows_nothing_by_itself() {
    let Fixture { server: _server, owner, service: _ } = Fixture::new().await;
    let open = sqlx::query(
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relispartition
           AND (NOT c.relrowsecurity OR EXISTS (SELECT FROM pg_policies p WHERE p.tablename = c.relname))",
    )
    .fetch_all(&owner)
    .await
    .unwrap();
    let names: Vec<String> = open.into_iter().map(|row| row.get(0)).collect();
    assert!(names.is_empty(), "{names:?}");
}
