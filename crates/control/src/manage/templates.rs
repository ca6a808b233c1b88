//! Changes of the templates that tenants save. The directory has none: endpoints keep what was made of them.

use postrider_domain::{
    TemplateId, TenantId,
    template::{Document, Template},
};
use postrider_postgres::{
    templates::{self, TemplateRow},
    tenants,
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::{Edit, ManageError};
use crate::audit::{Change, record};

/// The most templates of one tenant.
pub const MAX_PER_TENANT: usize = 200;

/// Saves a template.
pub async fn create(
    edit: Edit<'_>,
    tenant: &TenantId,
    template: Template,
    rng: &mut (impl CryptoRng + Send),
) -> Result<TemplateRow, ManageError> {
    let row = TemplateRow {
        id: TemplateId::generate(edit.now, rng),
        tenant: tenant.clone(),
        document: template.into_document(),
        version: 1,
        created_at: edit.now,
        updated_at: edit.now,
    };
    let mut tx = edit.pool.tenant(tenant).await?;
    // Held until the commit, so that the tenant is not deleted meanwhile, and others count after this one.
    tenants::get_for_update(&mut tx, tenant).await?.ok_or(ManageError::NotFound("tenant"))?;
    let present = usize::try_from(templates::count(&mut tx, tenant).await?).unwrap_or(usize::MAX);
    if present >= MAX_PER_TENANT {
        let message = format!("a tenant may have at most {MAX_PER_TENANT} templates: delete or replace one");
        return Err(ManageError::Setting { field: "", message });
    }
    templates::insert(&mut tx, tenant, &row).await?;
    record(&mut tx, edit.actor, edit.now, change(&row, "template.create", None, Some(&row.document))).await?;
    tx.commit().await?;
    Ok(row)
}

/// Puts another template in the place of one. What was made of the old one stays as it is.
pub async fn replace(
    edit: Edit<'_>,
    tenant: &TenantId,
    id: &TemplateId,
    template: Template,
) -> Result<TemplateRow, ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before = templates::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("template"))?;
    let row = TemplateRow {
        document: template.into_document(),
        version: before.version + 1,
        updated_at: edit.now,
        ..before.clone()
    };
    templates::update(&mut tx, tenant, &row).await?;
    let change = change(&row, "template.update", Some(&before.document), Some(&row.document));
    record(&mut tx, edit.actor, edit.now, change).await?;
    tx.commit().await?;
    Ok(row)
}

/// Deletes a template. What was made of it stays as it is.
pub async fn delete(edit: Edit<'_>, tenant: &TenantId, id: &TemplateId) -> Result<(), ManageError> {
    let mut tx = edit.pool.tenant(tenant).await?;
    let before = templates::get_for_update(&mut tx, tenant, id).await?.ok_or(ManageError::NotFound("template"))?;
    templates::delete(&mut tx, tenant, id).await?;
    record(&mut tx, edit.actor, edit.now, change(&before, "template.delete", Some(&before.document), None)).await?;
    tx.commit().await?;
    Ok(())
}

fn change<'a>(
    row: &'a TemplateRow,
    action: &'static str,
    before: Option<&Document>,
    after: Option<&Document>,
) -> Change<'a> {
    let entity_id = row.id.as_str();
    Change { tenant: Some(&row.tenant), action, entity_id, before: before.map(audited), after: after.map(audited) }
}

/// A template in the audit log: without its values of headers and its URL, where somebody may have put a secret.
fn audited(document: &Document) -> Value {
    json!({
        "name": document.name,
        "parameters": document.parameters.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
        "method": document.method,
        "event_types": document.event_types,
        "mapping": document.mapping,
    })
}
