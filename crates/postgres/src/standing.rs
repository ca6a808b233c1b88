//! What has to be known of a caller's tenant before anything is done for it: asked with every request, so in one statement.

use chrono::{DateTime, Utc};
use postrider_domain::{TenantId, ip_rules::IpRules};
use sqlx::{Error, PgConnection};

use crate::{
    api_keys::{ApiKeyRow, Record},
    ip_rules::networks,
};

/// How the deployment stands, and a tenant in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether a relay found the directory's topic ahead of this database, so that what was revoked since is not revoked
    /// in it.
    pub is_behind: bool,
    /// The tenant, if it was asked about and exists.
    pub tenant: Option<TenantStanding>,
}

/// How a tenant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantStanding {
    /// Its id.
    pub id: TenantId,
    /// Whether an operator suspended it.
    pub is_suspended: bool,
    /// How many events it may publish over HTTP in a second; none: without a limit.
    pub publish_per_second: Option<i64>,
    /// From which addresses its keys work; none if it never had any rules.
    pub ip_rules: Option<IpRules>,
}

/// Looks it up.
pub async fn get(conn: &mut PgConnection, tenant: Option<&TenantId>) -> Result<Standing, Error> {
    let record = sqlx::query_as!(
        TenantRecord,
        r#"SELECT behind, tenants.id AS "id?", suspended_at, max_publish_per_second, allow AS "allow?", block AS "block?"
           FROM relay_state
           LEFT JOIN tenants ON tenants.id = $1
           LEFT JOIN ip_rules ON ip_rules.tenant_id = tenants.id"#,
        tenant.map(TenantId::as_str)
    )
    .fetch_one(conn)
    .await?;
    record.decode()
}

/// Looks an API key up by the public part of its text, the present one or the one before, and how its tenant stands. None
/// if there is no such key.
pub async fn of_key(conn: &mut PgConnection, prefix: &str) -> Result<Option<(ApiKeyRow, Standing)>, Error> {
    let record = sqlx::query!(
        r#"SELECT api_keys.*, behind, tenants.id AS "found?", suspended_at AS "suspended_at?",
               max_publish_per_second AS "max_publish_per_second?", allow AS "allow?", block AS "block?"
           FROM api_keys
           CROSS JOIN relay_state
           LEFT JOIN tenants ON tenants.id = api_keys.tenant_id
           LEFT JOIN ip_rules ON ip_rules.tenant_id = tenants.id
           WHERE prefix = $1 OR previous_prefix = $1"#,
        prefix
    )
    .fetch_optional(conn)
    .await?;
    let Some(record) = record else { return Ok(None) };
    let standing = TenantRecord {
        behind: record.behind,
        id: record.found,
        suspended_at: record.suspended_at,
        max_publish_per_second: record.max_publish_per_second,
        allow: record.allow,
        block: record.block,
    };
    let key = Record {
        id: record.id,
        tenant_id: record.tenant_id,
        name: record.name,
        prefix: record.prefix,
        hash: record.hash,
        scopes: record.scopes,
        allowed_cidrs: record.allowed_cidrs,
        rate_requests: record.rate_requests,
        rate_period_s: record.rate_period_s,
        rotated_at: record.rotated_at,
        previous_prefix: record.previous_prefix,
        previous_hash: record.previous_hash,
        previous_expires_at: record.previous_expires_at,
        created_at: record.created_at,
        expires_at: record.expires_at,
        revoked_at: record.revoked_at,
        last_used_at: record.last_used_at,
    };
    Ok(Some((key.try_into()?, standing.decode()?)))
}

/// What is stored of the deployment and of a tenant in it.
struct TenantRecord {
    behind: bool,
    id: Option<String>,
    suspended_at: Option<DateTime<Utc>>,
    max_publish_per_second: Option<i64>,
    allow: Option<Vec<String>>,
    block: Option<Vec<String>>,
}

impl TenantRecord {
    fn decode(self) -> Result<Standing, Error> {
        let rules = |(allow, block): (Vec<String>, Vec<String>)| {
            Ok::<_, Error>(IpRules { allow: networks(&allow)?, block: networks(&block)? })
        };
        let ip_rules = self.allow.zip(self.block).map(rules).transpose()?;
        let tenant = self.id.map(|id| TenantStanding {
            id: TenantId::from_trusted(id),
            is_suspended: self.suspended_at.is_some(),
            publish_per_second: self.max_publish_per_second,
            ip_rules,
        });
        Ok(Standing { is_behind: self.behind, tenant })
    }
}
