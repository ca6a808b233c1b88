//! What has to be known of a caller's tenant before anything is done for it: asked with every request, so in one statement.

use postrider_domain::{TenantId, ip_rules::IpRules};
use sqlx::{Error, PgConnection};

use crate::ip_rules::networks;

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
    let record = sqlx::query!(
        r#"SELECT behind, tenants.id AS "id?", suspended_at, max_publish_per_second, allow AS "allow?", block AS "block?"
           FROM relay_state
           LEFT JOIN tenants ON tenants.id = $1
           LEFT JOIN ip_rules ON ip_rules.tenant_id = tenants.id"#,
        tenant.map(TenantId::as_str)
    )
    .fetch_one(conn)
    .await?;
    let rules = |(allow, block): (Vec<String>, Vec<String>)| {
        Ok::<_, Error>(IpRules { allow: networks(&allow)?, block: networks(&block)? })
    };
    let ip_rules = record.allow.zip(record.block).map(rules).transpose()?;
    let tenant = record.id.map(|id| TenantStanding {
        id: TenantId::from_trusted(id),
        is_suspended: record.suspended_at.is_some(),
        publish_per_second: record.max_publish_per_second,
        ip_rules,
    });
    Ok(Standing { is_behind: record.behind, tenant })
}
