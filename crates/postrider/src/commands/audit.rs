//! `postrider audit`: whether somebody tampered with the audit log.

use std::time::Duration;

use anyhow::{Context, bail};
use postrider_control::{
    audit_chain::{self, Verdict},
    clock,
};
use postrider_domain::{Timestamp, seal::KeyRing};
use postrider_postgres::Database;
use serde_json::json;

use crate::{
    cli::{Audit, Output, VerifyArguments},
    config::Loaded,
    connections,
    failure::Failure,
};

const NEEDED_BY: &str = "`postrider audit`";

/// Runs one of the commands below `audit`.
pub async fn run(command: &Audit, loaded: &Loaded) -> Result<(), Failure> {
    let Audit::Verify(arguments) = command;
    let key_ring = loaded.key_ring(NEEDED_BY)?;
    let pool = connections::postgres(loaded, NEEDED_BY).await?;
    let kept = arguments.kept_days.map_or(loaded.config.retention.audit, |days| Duration::from_hours(24) * days);
    let kept_since = clock::now() - kept;
    let verdict = verify(&pool, &key_ring, kept_since, arguments).await.context("the audit log can't be read")?;
    match arguments.output {
        Output::Json => println!("{}", as_json(&verdict)),
        Output::Text => show(&verdict),
    }
    Ok(sound(&verdict)?)
}

async fn verify(
    pool: &Database,
    key_ring: &KeyRing,
    kept_since: Timestamp,
    arguments: &VerifyArguments,
) -> anyhow::Result<Verdict> {
    let noted = arguments.noted.clone();
    Ok(audit_chain::verify_now(pool, key_ring, kept_since, noted).await?)
}

fn sound(verdict: &Verdict) -> anyhow::Result<()> {
    if verdict.fault_count > 0 {
        bail!("somebody tampered with the audit log: {} faults", verdict.fault_count);
    }
    Ok(())
}

fn show(verdict: &Verdict) {
    for fault in &verdict.faults {
        println!("{fault}");
    }
    match (verdict.first, &verdict.head) {
        (Some(first), Some(head)) => {
            println!(
                "{} links, {first} to {}; {} without a record, no longer kept",
                verdict.links, head.seq, verdict.expired
            );
            println!("the chain ends with {head}");
        }
        _ => println!("the chain is empty: the relay has not chained any record yet"),
    }
}

fn as_json(verdict: &Verdict) -> String {
    let faults: Vec<String> = verdict.faults.iter().map(ToString::to_string).collect();
    json!({
        "links": verdict.links,
        "first": verdict.first,
        "head": verdict.head.as_ref().map(ToString::to_string),
        "expired": verdict.expired,
        "fault_count": verdict.fault_count,
        "faults": faults,
    })
    .to_string()
}
