//! `postrider keys tenant`: the API keys of a tenant.

use serde_json::json;

use super::print::{self, Column};
use crate::{
    cli::{TenantKeys, TenantKeysCommand},
    failure::Failure,
    server_api::ServerApi,
};

/// More than any tenant has.
const MAX_KEYS: usize = 10_000;

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("PREFIX", "/prefix"),
    ("NAME", "/name"),
    ("SCOPES", "/scopes"),
    ("EXPIRES", "/expires_at"),
    ("REVOKED", "/revoked_at"),
    ("LAST USED", "/last_used_at"),
];

/// Runs one of the commands below `keys tenant`.
pub async fn run(arguments: &TenantKeys) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let json = arguments.server.json;
    match &arguments.command {
        TenantKeysCommand::List => {
            print::list(&api.list("/v1/api-keys", &[], MAX_KEYS).await?, json, COLUMNS);
        }
        TenantKeysCommand::Create { name, scopes } => {
            let scopes = if scopes.is_empty() { vec!["*".to_owned()] } else { scopes.clone() };
            let made = api.post("/v1/api-keys", &json!({"name": name, "scopes": scopes})).await?;
            if json {
                print::value(&made);
            } else {
                eprintln!("API key {} ('{name}'); it is not shown again:", print::cell(made.get("id")));
                print::line(print::cell(made.get("key")));
            }
        }
        TenantKeysCommand::Revoke { id } => api.delete(&format!("/v1/api-keys/{id}")).await?,
    }
    Ok(())
}
