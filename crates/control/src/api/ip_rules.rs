//! `/v1/ip-rules`: from which addresses a tenant's keys work.

use std::net::IpAddr;

use poem::web::Data;
use poem_openapi::{Object, OpenApi, types::Example};
use postrider_domain::{
    KeyId, Timestamp,
    egress::IpNet,
    ip_rules::{Admission, IpRules as Rules},
};
use postrider_postgres::{
    ip_rules::{self, IpRulesRow},
    standing::TenantStanding,
};
use serde::Deserialize;

use super::{
    access::Authenticated,
    body::Body,
    openapi::Tag,
    problem::{Problem, ProblemKind, ReadProblem, WriteProblem},
    respond::Found,
    schema::Time,
    state::ApiState,
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit},
    security::{Origin, SecurityKind},
};

/// The most networks of one list.
const MAX_NETWORKS: usize = 200;

/// The operations.
pub(crate) struct IpRules;

/// From which addresses the tenant's keys are to work.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
struct IpRulesInput {
    /// Networks in CIDR notation, or addresses. If there are any, requests from elsewhere are refused.
    #[oai(validator(max_items = 200))]
    allow: Vec<String>,
    /// Networks or addresses that are refused, allowed or not.
    #[oai(validator(max_items = 200))]
    block: Vec<String>,
}

impl Example for IpRulesInput {
    fn example() -> Self {
        Self { allow: vec!["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()], block: vec![] }
    }
}

/// From which addresses the tenant's keys work: from all if both lists are empty.
#[derive(Debug, Object)]
#[oai(rename = "IpRules", example)]
struct IpRulesAnswer {
    /// Networks in CIDR notation. If there are any, requests from elsewhere are refused.
    allow: Vec<String>,
    /// Networks that are refused, allowed or not.
    block: Vec<String>,
    /// When they were last changed; null if they never were.
    updated_at: Option<Time>,
}

impl Example for IpRulesAnswer {
    fn example() -> Self {
        let IpRulesInput { allow, block } = IpRulesInput::example();
        Self { allow, block, updated_at: Some(Time(Timestamp::from_millis(1_769_860_800_000))) }
    }
}

impl From<Option<IpRulesRow>> for IpRulesAnswer {
    fn from(row: Option<IpRulesRow>) -> Self {
        let updated_at = row.as_ref().map(|row| Time(row.updated_at));
        let rules = row.map(|row| row.rules).unwrap_or_default();
        let texts = |networks: Vec<IpNet>| networks.iter().map(ToString::to_string).collect();
        Self { allow: texts(rules.allow), block: texts(rules.block), updated_at }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Security",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl IpRules {
    /// Get the address rules
    ///
    /// Scope `security:read`. From which addresses the tenant's keys work.
    #[oai(path = "/ip-rules", method = "get", operation_id = "getIpRules")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
    ) -> Result<Found<IpRulesAnswer>, ReadProblem> {
        let tenant = auth.tenant(Scope::SecurityRead)?;
        let mut transaction = state.pool.tenant(tenant).await?;
        let row = ip_rules::get(&mut transaction, tenant).await?;
        transaction.commit().await?;
        Ok(Found(row.into()))
    }

    /// Replace the address rules
    ///
    /// Scope `security:write`. Both lists as they are to be. They hold for the tenant's keys, from the next request on;
    /// operator keys work from everywhere. Rules that would refuse the request that makes them are not taken.
    #[oai(path = "/ip-rules", method = "put", operation_id = "replaceIpRules")]
    async fn put(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<IpRulesInput>,
    ) -> Result<Found<IpRulesAnswer>, WriteProblem> {
        let tenant = auth.tenant(Scope::SecurityWrite)?;
        let rules = Rules { allow: networks("/allow", &body.0.allow)?, block: networks("/block", &body.0.block)? };
        if !auth.0.is_operator() {
            not_locked_out(&rules, auth.0.remote_addr)?;
        }
        let actor = auth.0.actor();
        let row = manage::ip_rules::put(Edit::new(state, &actor, clock::now()), tenant, rules)
            .await
            .map_err(|error| validate::not_managed(error, tenant.as_str()))?;
        Ok(Found(Some(row).into()))
    }
}

/// Networks, each without the bits behind its prefix; an address is a network of its own.
fn networks(field: &str, texts: &[String]) -> Result<Vec<IpNet>, Problem> {
    if texts.len() > MAX_NETWORKS {
        let detail = format!("has {} entries, at most {MAX_NETWORKS} are allowed", texts.len());
        return Err(Problem::field(field, detail));
    }
    let parse = |(index, text): (usize, &String)| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| network.trunc()).map_err(|_| {
            let detail = "is neither an address nor a network; expected 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32";
            Problem::field(format!("{field}/{index}"), detail)
        })
    };
    texts.iter().enumerate().map(parse).collect()
}

/// Whether the request that makes the rules could be made again under them.
fn not_locked_out(rules: &Rules, remote_addr: Option<IpAddr>) -> Result<(), Problem> {
    let Some(address) = remote_addr else { return Ok(()) };
    let (field, why) = match rules.admit(address) {
        Admission::Allowed => return Ok(()),
        Admission::Blocked(network) => ("/block", format!("{network} blocks")),
        Admission::NotAllowed => ("/allow", "the list leaves out".to_owned()),
    };
    Err(Problem::field(field, format!("{why} {address}, from where this request comes: you would lock yourself out")))
}

/// Refuses a request with a tenant's key from an address that the tenant does not allow, and notes it.
pub(super) fn admit(
    state: &ApiState,
    tenant: &TenantStanding,
    key: Option<&KeyId>,
    remote_addr: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), Problem> {
    let (Some(rules), Some(address)) = (&tenant.ip_rules, remote_addr) else { return Ok(()) };
    if rules.admit(address) == Admission::Allowed {
        return Ok(());
    }
    let origin = Origin { tenant: Some(tenant.id.clone()), key: key.cloned(), remote_addr };
    state.security.note(now, SecurityKind::AddressBlocked, origin, "the tenant's address rules do not allow it");
    let detail = format!("the tenant's address rules do not allow requests from {address}; have them changed");
    Err(Problem::new(ProblemKind::Forbidden, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_locks_themselves_out() {
        let rules = |allow: &[&str], block: &[&str]| {
            let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a network")).collect();
            Rules { allow: parse(allow), block: parse(block) }
        };
        let own = Some(IpAddr::from([203, 0, 113, 7]));
        let field = |rules: Rules| not_locked_out(&rules, own).err().and_then(|it| it.field_name().map(str::to_owned));
        assert_eq!(field(rules(&["203.0.113.0/24"], &[])), None);
        assert_eq!(field(rules(&["10.0.0.0/8"], &[])).as_deref(), Some("/allow"));
        assert_eq!(field(rules(&[], &["203.0.113.7/32"])).as_deref(), Some("/block"));
        assert_eq!(not_locked_out(&rules(&["10.0.0.0/8"], &[]), None), Ok(()));
    }
}
