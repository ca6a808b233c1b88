//! Listing deliveries.

use std::time::Duration;

use postrider_domain::{DeliveryKind, EndpointId, EventId, MessageId, Run, TenantId, Timestamp, rollup::Grain};
use sqlx::{Error, PgConnection};

use super::{DeliveryRow, DeliveryStatus, read::StoredDelivery, write::kind_text};
use crate::plans;

/// Which deliveries of a tenant to list; what is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only this endpoint's.
    pub endpoint: Option<EndpointId>,
    /// Only events of exactly this type.
    pub event_type: Option<String>,
    /// Only those that have come this far.
    pub status: Option<DeliveryStatus>,
    /// Only the runs of this message.
    pub message: Option<MessageId>,
    /// Only those of this event.
    pub event: Option<EventId>,
    /// Only those whose last attempt failed so, as `ErrorClass::as_str` names it.
    pub error: Option<&'static str>,
    /// Only those whose last answer had this status.
    pub http_status: Option<i32>,
    /// Only those that were matched then or later.
    pub since: Option<Timestamp>,
    /// Only those that were matched before.
    pub until: Option<Timestamp>,
    /// Only live ones, or only test sends.
    pub kind: Option<DeliveryKind>,
}

impl DeliveryFilter {
    /// The endpoint and the status, where deliveries to one endpoint that are not delivered are asked for, and nothing
    /// else but when: there is an index of those.
    fn undelivered(&self) -> Option<(&EndpointId, DeliveryStatus)> {
        let (endpoint, status) = (self.endpoint.as_ref()?, self.status?);
        let indexed = Self {
            endpoint: Some(endpoint.clone()),
            status: Some(status),
            since: self.since,
            until: self.until,
            ..Self::default()
        };
        (status != DeliveryStatus::Delivered && *self == indexed).then_some((endpoint, status))
    }
}

/// A delivery's place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryKey {
    /// When it was matched.
    pub matched_at: Timestamp,
    /// Its message.
    pub message_id: MessageId,
    /// Its run.
    pub run: Run,
}

impl DeliveryRow {
    /// Its place in the list.
    pub fn key(&self) -> DeliveryKey {
        DeliveryKey { matched_at: self.matched_at, message_id: self.message_id.clone(), run: self.run.clone() }
    }
}

/// How many days back is looked at first, and then, as long as there are too few: planning takes as long as there are
/// partitions, and most lists end with the newest.
const LOOKED_BACK_DAYS: [u32; 4] = [1, 4, 12, 40];

/// The deliveries of `tenant` that pass `filter`, latest matched first, from the one after `after`,
/// at most `limit`.
///
/// To be called in a transaction, since it changes how this one plans: every filter is optional, and only a
/// plan that knows which ones are set uses the right index.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    after: Option<&DeliveryKey>,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<DeliveryRow>, Error> {
    if let (Some(event), None) = (&filter.event, after)
        && *filter == (DeliveryFilter { event: filter.event.clone(), ..DeliveryFilter::default() })
    {
        return of_event(conn, tenant, event, limit).await;
    }
    if let Some((endpoint, status)) = filter.undelivered() {
        return undelivered(conn, tenant, endpoint, status, filter, after, limit).await;
    }
    plans::by_value(conn).await?;
    let mut found = Vec::new();
    for (since, until) in spans(filter, after, now) {
        let rest = limit - i64::try_from(found.len()).unwrap_or(limit);
        if rest <= 0 {
            break;
        }
        let filter = DeliveryFilter { since, until, ..filter.clone() };
        found.extend(list_at_once(conn, tenant, &filter, after, rest).await?);
    }
    Ok(found)
}

/// The parts of time to look at one after the other, the latest first: together all that `filter` and `after` leave.
fn spans(
    filter: &DeliveryFilter,
    after: Option<&DeliveryKey>,
    now: Timestamp,
) -> Vec<(Option<Timestamp>, Option<Timestamp>)> {
    // Of one message or event there is little, and it may be anywhere.
    if filter.message.is_some() || filter.event.is_some() {
        return vec![(filter.since, filter.until)];
    }
    let behind = after.map(|key| key.matched_at + Duration::from_millis(1));
    let mut until = [filter.until, behind].into_iter().flatten().min();
    let newest = Grain::Day.floor(until.unwrap_or(now).min(now));
    let mut spans = Vec::with_capacity(LOOKED_BACK_DAYS.len() + 1);
    for days in LOOKED_BACK_DAYS {
        let since = newest - Grain::Day.length() * days;
        if filter.since.is_some_and(|first| since <= first) {
            break;
        }
        spans.push((Some(since), until));
        until = Some(since);
    }
    spans.push((filter.since, until));
    spans
}

/// The latest deliveries of one event, at most `limit`: asked for so often that it is not planned anew each
/// time. As with [`runs_of`](super::runs_of), no index has its order.
pub async fn of_event(
    conn: &mut PgConnection,
    tenant: &TenantId,
    event: &EventId,
    limit: i64,
) -> Result<Vec<DeliveryRow>, Error> {
    let rows = sqlx::query_as!(
        StoredDelivery,
        "SELECT message_id, run, tenant_id, endpoint_id, subscription_id, event_id, event_type, kind, source_topic,
             source_partition, source_offset, status, rank, held_partition, held_offset, attempt, last_status, last_error,
             last_error_message, next_attempt_at, matched_at, updated_at, payload_topic, payload_partition,
             payload_offset
         FROM deliveries
         WHERE tenant_id = $1 AND event_id = $2
         ORDER BY matched_at + interval '0 s' DESC, message_id DESC, run DESC
         LIMIT $3",
        tenant.as_str(),
        event.as_str(),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredDelivery::decode).collect()
}

/// The latest deliveries to one endpoint with a `status` that is not `delivered`: there are few as a rule, so all days are
/// looked into at once, and operators ask for them so often that it is not planned anew each time.
async fn undelivered(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    status: DeliveryStatus,
    filter: &DeliveryFilter,
    after: Option<&DeliveryKey>,
    limit: i64,
) -> Result<Vec<DeliveryRow>, Error> {
    plans::once(conn).await?;
    let rows = sqlx::query_as!(
        StoredDelivery,
        "SELECT message_id, run, tenant_id, endpoint_id, subscription_id, event_id, event_type, kind, source_topic,
             source_partition, source_offset, status, rank, held_partition, held_offset, attempt, last_status, last_error,
             last_error_message, next_attempt_at, matched_at, updated_at, payload_topic, payload_partition,
             payload_offset
         FROM deliveries
         WHERE tenant_id = $1 AND endpoint_id = $2 AND status = $3 AND status <> 'delivered'
             AND ($4::timestamptz IS NULL OR (matched_at, message_id, run) < ($4, $5, $6))
             AND matched_at <= coalesce($4, 'infinity'::timestamptz)
             AND matched_at >= coalesce($7, '-infinity'::timestamptz)
             AND matched_at < coalesce($8, 'infinity'::timestamptz)
         ORDER BY matched_at DESC, message_id DESC, run DESC
         LIMIT $9",
        tenant.as_str(),
        endpoint.as_str(),
        status.as_str(),
        after.map(|key| key.matched_at.to_datetime()),
        after.map(|key| key.message_id.to_string()),
        after.map(|key| key.run.to_string()),
        filter.since.map(Timestamp::to_datetime),
        filter.until.map(Timestamp::to_datetime),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredDelivery::decode).collect()
}

async fn list_at_once(
    conn: &mut PgConnection,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    after: Option<&DeliveryKey>,
    limit: i64,
) -> Result<Vec<DeliveryRow>, Error> {
    let rows = sqlx::query_as!(
        StoredDelivery,
        "SELECT message_id, run, tenant_id, endpoint_id, subscription_id, event_id, event_type, kind, source_topic,
             source_partition, source_offset, status, rank, held_partition, held_offset, attempt, last_status, last_error,
             last_error_message, next_attempt_at, matched_at, updated_at, payload_topic, payload_partition,
             payload_offset
         FROM deliveries
         WHERE tenant_id = $1
             AND ($2::text IS NULL OR endpoint_id = $2)
             AND ($3::text IS NULL OR event_type = $3)
             AND ($4::text IS NULL OR status = $4)
             AND ($5::text IS NULL OR message_id = $5)
             AND ($6::text IS NULL OR event_id = $6)
             AND ($7::timestamptz IS NULL OR (matched_at, message_id, run) < ($7, $8, $9))
             AND ($11::text IS NULL OR last_error = $11)
             AND ($12::integer IS NULL OR last_status = $12)
             AND ($13::timestamptz IS NULL OR matched_at >= $13)
             AND ($14::timestamptz IS NULL OR matched_at < $14)
             AND ($15::text IS NULL OR kind = $15)
         ORDER BY matched_at DESC, message_id DESC, run DESC
         LIMIT $10",
        tenant.as_str(),
        filter.endpoint.as_ref().map(EndpointId::as_str),
        filter.event_type,
        filter.status.map(DeliveryStatus::as_str),
        filter.message.as_ref().map(MessageId::as_str),
        filter.event.as_ref().map(EventId::as_str),
        after.map(|key| key.matched_at.to_datetime()),
        after.map(|key| key.message_id.to_string()),
        after.map(|key| key.run.to_string()),
        limit,
        filter.error,
        filter.http_status,
        filter.since.map(Timestamp::to_datetime),
        filter.until.map(Timestamp::to_datetime),
        filter.kind.map(kind_text),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredDelivery::decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn days(filter: &DeliveryFilter, after: Option<&DeliveryKey>) -> Vec<(String, String)> {
        let day = |at: Option<Timestamp>| {
            at.map_or_else(String::new, |at| at.to_rfc3339()[5..].replace("T00:00:00.000Z", ""))
        };
        let spans = spans(filter, after, at("2026-03-10T12:34:56Z"));
        spans.into_iter().map(|(since, until)| (day(since), day(until))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(since, until)| ((*since).to_owned(), (*until).to_owned())).collect()
    }

    #[test]
    fn the_newest_days_are_looked_at_first_and_none_is_left_out() {
        let all = DeliveryFilter::default();
        let whole = [("03-09", ""), ("03-06", "03-09"), ("02-26", "03-06"), ("01-29", "02-26"), ("", "01-29")];
        assert_eq!(days(&all, None), pairs(&whole));
        let part = DeliveryFilter {
            since: Some(at("2026-02-20T00:00:00Z")),
            until: Some(at("2026-03-08T00:00:00Z")),
            ..all.clone()
        };
        assert_eq!(
            days(&part, None),
            pairs(&[("03-07", "03-08"), ("03-04", "03-07"), ("02-24", "03-04"), ("02-20", "02-24")])
        );
        let after = DeliveryKey {
            matched_at: at("2026-03-01T00:00:00Z"),
            message_id: MessageId::from_trusted("msg_1"),
            run: Run::LIVE,
        };
        let behind = days(&all, Some(&after));
        assert_eq!(behind[0], ("02-28".to_owned(), "03-01T00:00:00.001Z".to_owned()));
        let event = DeliveryFilter { event: Some(EventId::from_trusted("event")), ..all };
        assert_eq!(days(&event, None), pairs(&[("", "")]));
    }
}
