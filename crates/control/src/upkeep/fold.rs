//! Adding up what was counted: by minute, hour and day; by endpoint, tenant and deployment.

use std::collections::BTreeMap;

use postrider_domain::{rollup::Grain, tally::Tally};
use postrider_postgres::{
    Database, Error, PgConnection, plans,
    rollups::{self, Delta, Rollup, RollupKey},
};

/// The most counts that are added up in one transaction.
const MAX_DELTAS: i64 = 25_000;
/// The most rows in one statement.
const MAX_ROWS: usize = 2_000;

/// How far adding up has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// Nothing is left, or somebody else is at it.
    All,
    /// Some are left.
    Some,
}

impl Folded {
    /// Whether nothing is left to do.
    pub fn is_all(self) -> bool {
        self == Self::All
    }
}

/// Adds up the oldest counts. They leave their table in the transaction in which they are added, so each is added once.
pub async fn fold(pool: &Database) -> Result<Folded, Error> {
    let mut transaction = pool.begin().await?;
    if !rollups::try_lock(&mut transaction).await? {
        return Ok(Folded::All);
    }
    plans::by_index(&mut transaction).await?;
    let deltas = rollups::take_deltas(&mut transaction, MAX_DELTAS).await?;
    if deltas.is_empty() {
        return Ok(Folded::All);
    }
    let all = i64::try_from(deltas.len()).unwrap_or(MAX_DELTAS) < MAX_DELTAS;
    let sums: Vec<(RollupKey, Tally)> = add_up(&deltas).into_iter().collect();
    for of_one_period in sums.chunk_by(|(a, _), (b, _)| a.period() == b.period()) {
        for chunk in of_one_period.chunks(MAX_ROWS) {
            add(&mut transaction, chunk).await?;
        }
    }
    transaction.commit().await?;
    metrics::counter!("postrider_rollup_deltas_total").increment(deltas.len() as u64);
    Ok(if all { Folded::All } else { Folded::Some })
}

/// Adds `sums`, all of one period, to what is stored. Nobody else does so meanwhile.
async fn add(conn: &mut PgConnection, sums: &[(RollupKey, Tally)]) -> Result<(), Error> {
    let keys: Vec<&RollupKey> = sums.iter().map(|(key, _)| key).collect();
    let stored = rollups::get_all(conn, &keys).await?;
    let mut stored: BTreeMap<RollupKey, Tally> = stored.into_iter().map(|row| (row.key, row.tally)).collect();
    let (mut new, mut further) = (Vec::new(), Vec::new());
    for (key, more) in sums {
        let (mut tally, rollups) = match stored.remove(key) {
            Some(tally) => (tally, &mut further),
            None => (Tally::default(), &mut new),
        };
        tally.merge(more);
        rollups.push(Rollup { key: key.clone(), tally });
    }
    rollups::insert_all(conn, &new).await?;
    rollups::replace_all(conn, &further).await
}

/// Everything that counts are counted for. By minute and endpoint first, since most counts are of the same few: each of
/// these is then added to all that it belongs to.
fn add_up(deltas: &[Delta]) -> BTreeMap<RollupKey, Tally> {
    let mut minutes: BTreeMap<RollupKey, Tally> = BTreeMap::new();
    for delta in deltas {
        let key = RollupKey {
            grain: Grain::Minute,
            tenant: Some(delta.tenant.clone()),
            endpoint: Some(delta.endpoint.clone()),
            event_type: delta.event_type.clone(),
            bucket: Grain::Minute.floor(delta.minute),
        };
        minutes.entry(key).or_default().merge(&delta.tally);
    }
    let mut sums: BTreeMap<RollupKey, Tally> = BTreeMap::new();
    for (minute, tally) in &minutes {
        for whose in counted_for(minute) {
            for grain in Grain::ALL {
                let key = RollupKey { grain, bucket: grain.floor(minute.bucket), ..whose.clone() };
                sums.entry(key).or_default().merge(tally);
            }
        }
    }
    sums
}

/// An endpoint's counts are also its tenant's and everybody's: of their type, and in the total, which above endpoints is
/// what has no type.
fn counted_for(endpoint: &RollupKey) -> Vec<RollupKey> {
    let total = String::new;
    let tenant = RollupKey { endpoint: None, ..endpoint.clone() };
    let deployment = RollupKey { tenant: None, ..tenant.clone() };
    let mut keys = vec![
        endpoint.clone(),
        RollupKey { event_type: total(), ..tenant.clone() },
        RollupKey { event_type: total(), ..deployment.clone() },
    ];
    if !endpoint.event_type.is_empty() {
        keys.extend([tenant, deployment]);
    }
    keys
}

#[cfg(test)]
mod tests {
    use postrider_domain::{EndpointId, TenantId, Timestamp};

    use super::*;

    fn delta(tenant: &str, endpoint: &str, event_type: &str, minute: i64) -> Delta {
        Delta {
            tenant: TenantId::from_trusted(tenant),
            endpoint: EndpointId::from_trusted(endpoint),
            event_type: event_type.to_owned(),
            minute: Timestamp::from_millis(minute * 60_000),
            tally: Tally { delivered: 1, ..Tally::default() },
        }
    }

    #[test]
    fn each_count_is_added_for_endpoint_tenant_and_deployment_in_every_grain() {
        let sums = add_up(&[
            delta("ten_1", "ep_1", "a", 0),
            delta("ten_1", "ep_1", "b", 59),
            delta("ten_1", "ep_2", "a", 60),
            delta("ten_2", "ep_3", "a", 1_440),
            delta("ten_1", "ep_1", "", 0),
        ]);
        let count = |grain, tenant: Option<&str>, endpoint: Option<&str>, event_type: &str, minute: i64| {
            let key = RollupKey {
                grain,
                tenant: tenant.map(TenantId::from_trusted),
                endpoint: endpoint.map(EndpointId::from_trusted),
                event_type: event_type.to_owned(),
                bucket: Timestamp::from_millis(minute * 60_000),
            };
            sums.get(&key).map_or(0, |tally| tally.delivered)
        };
        let (minute, hour, day) = (Grain::Minute, Grain::Hour, Grain::Day);
        assert_eq!(count(minute, Some("ten_1"), Some("ep_1"), "a", 0), 1);
        assert_eq!(count(minute, Some("ten_1"), None, "", 0), 2);
        assert_eq!(count(hour, Some("ten_1"), None, "", 0), 3);
        assert_eq!(count(hour, Some("ten_1"), None, "a", 60), 1);
        assert_eq!(count(day, Some("ten_1"), Some("ep_1"), "", 0), 1, "what has no type");
        assert_eq!(count(day, Some("ten_1"), None, "", 0), 4);
        assert_eq!(count(day, Some("ten_1"), None, "a", 0), 2);
        assert_eq!((count(day, None, None, "", 0), count(day, None, None, "", 1_440)), (4, 1));
        assert_eq!(count(day, None, None, "a", 0), 2);
    }
}
