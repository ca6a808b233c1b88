//! `/v1/audit-log`: who changed what.

use std::{net::IpAddr, str::FromStr};

use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use postrider_domain::Timestamp;
use postrider_postgres::audit::{self, AuditFilter, ChainedAuditRow};
use serde_json::value::RawValue;

use super::{
    access::Authenticated,
    openapi::Tag,
    pagination::{Page, PageRequest},
    parameter::{parsed, storable},
    problem::{Problem, ReadProblem},
    respond::Found,
    schema::{RawJson, Time},
    state::ApiState,
};
use crate::auth::Scope;

/// The operations.
pub(crate) struct AuditLog;

/// One change of one thing.
#[derive(Debug, Object)]
#[oai(example)]
struct AuditEntry {
    /// Its number, in the order of writing.
    id: i64,
    /// Its place in the chain that shows tampering; null for the moment until it is chained.
    chain_seq: Option<i64>,
    /// When it was made.
    at: Time,
    /// Who made it: the id of an API key, `cli` for a command run beside the database, or `postrider` itself.
    actor: String,
    /// From where, if it came over the API.
    remote_addr: Option<String>,
    /// What was done, as `endpoint.update`.
    action: String,
    /// The id of what it was done to.
    entity_id: String,
    /// The tenant that it belongs to, if it belongs to one.
    tenant_id: Option<String>,
    /// What it was before, without what is secret; null if it was made, or if there is nothing to tell.
    before: Option<RawJson>,
    /// What it was after, without what is secret; null if it was deleted.
    after: Option<RawJson>,
}

impl Example for AuditEntry {
    fn example() -> Self {
        let json = |text: &str| Some(RawJson(RawValue::from_string(text.to_owned()).expect("it is JSON")));
        Self {
            id: 10_483,
            chain_seq: Some(10_482),
            at: Time(Timestamp::from_millis(1_769_860_800_000)),
            actor: "key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            remote_addr: Some("203.0.113.7".to_owned()),
            action: "tenant.update".to_owned(),
            entity_id: "ten_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            tenant_id: Some("ten_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned()),
            before: json(r#"{"name": "Acme", "version": 1}"#),
            after: json(r#"{"name": "Acme Ltd", "version": 2}"#),
        }
    }
}

impl AuditEntry {
    fn of(chained: ChainedAuditRow) -> Result<Self, Problem> {
        let row = chained.row;
        let json = |text: Option<String>| text.map(RawValue::from_string).transpose();
        let (before, after) = json(row.before)
            .and_then(|before| Ok((before, json(row.after)?)))
            .map_err(|error| Problem::internal(&format!("audit record {}: {error}", row.id)))?;
        Ok(Self {
            id: row.id,
            chain_seq: chained.seq,
            at: Time(Timestamp::from_datetime(row.at)),
            actor: row.actor,
            remote_addr: row.remote_addr.map(|net| net.addr().to_string()),
            action: row.action,
            entity_id: row.entity_id,
            tenant_id: row.tenant,
            before: before.map(RawJson),
            after: after.map(RawJson),
        })
    }
}

/// A record's place in the list: its time in milliseconds and its number.
struct Cursor(Timestamp, i64);

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('.').ok_or(())?;
        Ok(Self(Timestamp::from_millis(at.parse().map_err(drop)?), id.parse().map_err(drop)?))
    }
}

fn cursor(chained: &ChainedAuditRow) -> String {
    format!("{}.{}", Timestamp::from_datetime(chained.row.at).as_millis(), chained.row.id)
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Security",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id. An operator key without it sees the changes of every tenant, and those of none."
    )
)]
impl AuditLog {
    /// List changes
    ///
    /// Scope `audit:read`. The latest first. Records are added and never changed; each is chained to the one before it,
    /// and `postrider audit verify` says whether somebody tampered with them.
    #[oai(path = "/audit-log", method = "get", operation_id = "listAuditLog")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those by this actor: an API key's id, `cli` or `postrider`.
        #[oai(validator(max_length = 200))]
        actor: Query<Option<String>>,
        /// Only those of this action, as `endpoint.update`; `endpoint.` takes all actions that begin so.
        #[oai(validator(max_length = 200))]
        action: Query<Option<String>>,
        /// Only those of the thing with this id.
        #[oai(validator(max_length = 200))]
        entity_id: Query<Option<String>>,
        /// Only those that came from this address.
        remote_addr: Query<Option<String>>,
        /// Only those at or after this time.
        since: Query<Option<Time>>,
        /// Only those before this time.
        until: Query<Option<Time>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<AuditEntry>>, ReadProblem> {
        let tenant = auth.visible(Scope::AuditRead)?;
        let filter = AuditFilter {
            actor: storable("actor", actor.0)?,
            action: storable("action", action.0)?,
            entity_id: storable("entity_id", entity_id.0)?,
            remote_addr: parsed::<IpAddr>("remote_addr", remote_addr.0.as_deref())?,
            since: since.0.map(|time| time.0),
            until: until.0.map(|time| time.0),
        };
        let page = PageRequest::<Cursor>::parse(cursor.0.as_deref(), limit.0)?;
        let after = page.after.as_ref().map(|cursor| (cursor.0, cursor.1));
        let mut transaction = state.pool.begin_for(tenant).await?;
        let rows = audit::list(&mut transaction, tenant, &filter, after, page.rows_to_read()).await?;
        transaction.commit().await?;
        Ok(Found(page.page(rows, self::cursor, AuditEntry::of)?))
    }
}
