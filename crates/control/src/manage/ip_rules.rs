//! Changes of a tenant's address rules. The data plane does not know them, so that the outbox does not either.

use postrider_domain::{TenantId, ip_rules::IpRules};
use postrider_postgres::{
    ip_rules::{self, IpRulesRow},
    tenants,
};
use serde_json::{Value, json};

use super::{Edit, ManageError};
use crate::audit::{Change, record};

/// Gives a tenant these rules instead of what it had.
pub async fn put(edit: Edit<'_>, tenant: &TenantId, rules: IpRules) -> Result<IpRulesRow, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    tenants::get_for_update(&mut tx, tenant).await?.ok_or(ManageError::NotFound("tenant"))?;
    let before = ip_rules::get(&mut tx, tenant).await?;
    let row = IpRulesRow { rules, version: before.as_ref().map_or(1, |row| row.version + 1), updated_at: edit.now };
    ip_rules::put(&mut tx, tenant, &row).await?;
    let change = Change {
        tenant: Some(tenant),
        action: "ip_rules.update",
        entity_id: tenant.as_str(),
        before: before.as_ref().map(audited),
        after: Some(audited(&row)),
    };
    record(&mut tx, edit.actor, edit.now, change).await?;
    tx.commit().await?;
    Ok(row)
}

fn audited(row: &IpRulesRow) -> Value {
    json!({ "allow": row.rules.allow, "block": row.rules.block, "version": row.version })
}
