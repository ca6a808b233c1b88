//! Which endpoints fail most, on a real Postgres.

use postrider_domain::{
    EndpointId, TenantId, Timestamp,
    rollup::{Grain, Segment},
    tally::Tally,
};
use postrider_postgres::{
    connect, connect_service,
    local::LocalPostgres,
    migrate,
    rollups::{self, Rollup, RollupKey},
};

const DAYS: u64 = 3;

fn rollup(tenant: &str, endpoint: &str, day: u64, failed_attempts: u64) -> Rollup {
    let named = !endpoint.is_empty();
    Rollup {
        key: RollupKey {
            grain: Grain::Day,
            tenant: Some(TenantId::from_trusted(tenant)),
            endpoint: named.then(|| EndpointId::from_trusted(endpoint)),
            event_type: if named { "order.paid".to_owned() } else { String::new() },
            bucket: Timestamp::EPOCH + Grain::Day.length() * u32::try_from(day).expect("few days"),
        },
        tally: Tally { attempts: failed_attempts + 1, failed_attempts, ..Tally::default() },
    }
}

/// As many as the number and the seed say: in some tenants everything fails a little, in some one endpoint much.
fn failures(seed: u64, tenant: u64, endpoint: u64) -> u64 {
    let mixed = (seed * 31 + tenant * 7 + endpoint * 13).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match mixed % 5 {
        0 => 0,
        1 => mixed % 500,
        _ => mixed % 6,
    }
}

#[tokio::test]
async fn those_that_fail_most_are_found_whichever_tenants_they_are_of() {
    let server = LocalPostgres::start(None).await.unwrap();
    let url = server.create_database("failing").await.unwrap();
    migrate(&connect(&url, 1).await.unwrap()).await.unwrap();
    let pool = connect_service(&server.service_url("failing"), 2).await.unwrap();
    let segment = Segment { grain: Grain::Day, from: Timestamp::EPOCH, to: Timestamp::EPOCH + Grain::Day.length() * 3 };
    for seed in 0..6 {
        let mut transaction = pool.begin().await.unwrap();
        let (mut rows, mut expected) = (Vec::new(), Vec::new());
        for tenant in 0..40 {
            let (name, mut total) = (format!("ten_{tenant}"), 0);
            for endpoint in 0..10 {
                let (id, failed) = (format!("ep_{tenant}_{endpoint}"), failures(seed, tenant, endpoint));
                rows.extend((0..DAYS).map(|day| rollup(&name, &id, day, failed)));
                total += failed;
                expected.push((failed * DAYS, id));
            }
            rows.extend((0..DAYS).map(|day| rollup(&name, "", day, total)));
        }
        rollups::insert_all(&mut transaction, &rows).await.unwrap();
        expected.retain(|(failed, _)| *failed > 0);
        expected.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        for limit in [1, 20, 1_000] {
            let found = rollups::failing(&mut transaction, None, segment, limit).await.unwrap();
            let found: Vec<(u64, String)> =
                found.iter().map(|it| (u64::try_from(it.failed_attempts).unwrap(), it.endpoint.to_string())).collect();
            assert_eq!(found, expected[..limit.min(expected.len())], "seed {seed}, limit {limit}");
        }
        transaction.rollback().await.unwrap();
    }
}
