//! Reading counts for analytics.

use postrider_domain::{EndpointId, TenantId, rollup::Segment};
use sqlx::{Error, PgConnection};

use super::row::{Rollup, StoredRollup, endpoint_text, tenant_text};
use crate::plans;

/// Whose deliveries were counted.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// Everybody's.
    Deployment,
    /// A tenant's.
    Tenant(&'a TenantId),
    /// Those to one endpoint of a tenant.
    Endpoint(&'a TenantId, &'a EndpointId),
}

/// The deliveries of which event types were counted.
#[derive(Debug, Clone, Copy)]
pub enum EventTypes<'a> {
    /// Of all together. Of an endpoint there may be several rows for one time, to be added up.
    Total,
    /// Of this one.
    One(&'a str),
    /// Of each of these apart.
    Among(&'a [String]),
}

impl<'a> Subject<'a> {
    /// Whose they are; none: everybody's.
    pub fn tenant(self) -> Option<&'a TenantId> {
        match self {
            Self::Deployment => None,
            Self::Tenant(tenant) | Self::Endpoint(tenant, _) => Some(tenant),
        }
    }

    fn endpoint(self) -> Option<&'a EndpointId> {
        match self {
            Self::Deployment | Self::Tenant(_) => None,
            Self::Endpoint(_, endpoint) => Some(endpoint),
        }
    }
}

/// The counts of `subject` in one part of a window, in the order of time.
///
/// To be called in a transaction, since it changes how this one plans: only a plan that knows grain and time looks into
/// the right partitions.
pub async fn read(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    event_types: EventTypes<'_>,
    segment: Segment,
) -> Result<Vec<Rollup>, Error> {
    plans::by_value(conn).await?;
    let (only, among) = match (event_types, subject) {
        (EventTypes::One(name), _) => (Some(name), None),
        (EventTypes::Among(names), _) => (None, Some(names)),
        (EventTypes::Total, Subject::Endpoint(..)) => (None, None),
        (EventTypes::Total, Subject::Deployment | Subject::Tenant(_)) => (Some(""), None),
    };
    let rows = sqlx::query_as!(
        StoredRollup,
        r#"SELECT grain, tenant_id, endpoint_id, event_type, bucket, attempts, failed_attempts, delivered, failed,
               cancelled, skipped, errors::text AS "errors!", latency, delivery_time
           FROM rollups
           WHERE grain = $1 AND tenant_id = $2 AND endpoint_id = $3 AND bucket >= $4 AND bucket < $5
               AND ($6::text IS NULL OR event_type = $6)
               AND ($7::text[] IS NULL OR event_type = ANY($7))
           ORDER BY bucket, event_type"#,
        segment.grain.as_str(),
        tenant_text(subject.tenant()),
        endpoint_text(subject.endpoint()),
        segment.from.to_datetime(),
        segment.to.to_datetime(),
        only,
        among as Option<&[String]>
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredRollup::decode).collect()
}

/// How much was counted of an event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeCount {
    /// The type.
    pub event_type: String,
    /// Requests.
    pub attempts: i64,
    /// Deliveries that ended in success or failure.
    pub ended: i64,
}

/// The event types of `subject` in one part of a window. To be called in a transaction, as [`read`].
pub async fn event_types(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    segment: Segment,
) -> Result<Vec<TypeCount>, Error> {
    plans::by_value(conn).await?;
    let rows = sqlx::query!(
        r#"SELECT event_type, sum(attempts)::bigint AS "attempts!", sum(delivered + failed)::bigint AS "ended!"
           FROM rollups
           WHERE grain = $1 AND tenant_id = $2 AND endpoint_id = $3 AND bucket >= $4 AND bucket < $5 AND event_type <> ''
           GROUP BY event_type"#,
        segment.grain.as_str(),
        tenant_text(subject.tenant()),
        endpoint_text(subject.endpoint()),
        segment.from.to_datetime(),
        segment.to.to_datetime(),
    )
    .fetch_all(conn)
    .await?;
    let counted = rows.into_iter();
    Ok(counted.map(|it| TypeCount { event_type: it.event_type, attempts: it.attempts, ended: it.ended }).collect())
}
