//! Reading counts.

use std::collections::BTreeMap;

use postrider_domain::{Timestamp, rollup::Segment, tally::Tally};
use postrider_postgres::{
    Error, PgConnection,
    rollups::{self, EventTypes, FailingEndpoint, Subject},
};

use super::Window;

/// What happened in one step of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// When it begins.
    pub at: Timestamp,
    /// What was counted.
    pub tally: Tally,
}

/// What `subject` comes to over a window. To be called in a transaction.
pub async fn total(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    event_type: Option<&str>,
    window: Window,
) -> Result<Tally, Error> {
    let mut sum = Tally::default();
    for part in window.segments() {
        let rows = rollups::read(conn, subject, event_type.map_or(EventTypes::Total, EventTypes::One), part).await?;
        for row in &rows {
            sum.merge(&row.tally);
        }
    }
    Ok(sum)
}

/// What each event type of `subject` comes to over a window, those with the most attempts first. To be called in a
/// transaction.
pub async fn by_event_type(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    window: Window,
    limit: usize,
) -> Result<Vec<(String, Tally)>, Error> {
    // First which they are: of the others' histograms nothing is read.
    let mut counts: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for part in window.segments() {
        for counted in rollups::event_types(conn, subject, part).await? {
            let (attempts, ended) = counts.entry(counted.event_type).or_default();
            (*attempts, *ended) = (*attempts + counted.attempts, *ended + counted.ended);
        }
    }
    let mut ranked: Vec<(String, (i64, i64))> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, counts)| std::cmp::Reverse(*counts));
    ranked.truncate(limit);
    let names: Vec<String> = ranked.into_iter().map(|(name, _)| name).collect();
    let mut sums: BTreeMap<String, Tally> = BTreeMap::new();
    for part in window.segments() {
        for row in rollups::read(conn, subject, EventTypes::Among(&names), part).await? {
            sums.entry(row.key.event_type).or_default().merge(&row.tally);
        }
    }
    Ok(names.into_iter().map(|name| sums.remove_entry(&name).unwrap_or((name, Tally::default()))).collect())
}

/// What `subject` comes to in each step, those without anything too. To be called in a transaction.
pub async fn series(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    event_type: Option<&str>,
    steps: Segment,
) -> Result<Vec<Point>, Error> {
    let mut rows = rollups::read(conn, subject, event_type.map_or(EventTypes::Total, EventTypes::One), steps)
        .await?
        .into_iter()
        .peekable();
    let mut points = Vec::new();
    let mut at = steps.from;
    while at < steps.to {
        let mut tally = Tally::default();
        while let Some(row) = rows.next_if(|row| row.key.bucket <= at) {
            tally.merge(&row.tally);
        }
        points.push(Point { at, tally });
        at = at + steps.grain.length();
    }
    Ok(points)
}

/// The endpoints of a tenant (none: of all) that failed most. To be called in a transaction.
pub async fn failing(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    part: Segment,
    limit: u32,
) -> Result<Vec<FailingEndpoint>, Error> {
    rollups::failing(conn, subject.tenant(), part, limit as usize).await
}
