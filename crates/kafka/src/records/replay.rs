//! Replay jobs and their progress in Avro: queries and positions are JSON, as they grow with what can be asked for.

use std::{borrow::Cow, collections::BTreeMap};

use postrider_domain::{
    JobId, TenantId, Timestamp,
    replay::{DesiredState, ReplayJob, ReplayProgress, ReplayState},
};
use serde::{Deserialize, Serialize};

use super::Wire;
use crate::codec::AvroRecord;

/// [`ReplayJob`] in Avro.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayJobForm {
    id: JobId,
    tenant: Option<TenantId>,
    source: String,
    dry_run: bool,
    rate_per_second: u32,
    desired: DesiredState,
    created_by: String,
    created_at: Timestamp,
}

impl AvroRecord for ReplayJob {}

impl Wire for ReplayJob {
    const SCHEMA: &'static str = "ReplayJob";
    type Form = ReplayJobForm;

    fn to_wire(&self) -> Cow<'_, ReplayJobForm> {
        Cow::Owned(ReplayJobForm {
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            source: serde_json::to_string(&self.source).expect("a query is JSON"),
            dry_run: self.dry_run,
            rate_per_second: self.rate_per_second,
            desired: self.desired,
            created_by: self.created_by.clone(),
            created_at: self.created_at,
        })
    }

    fn from_wire(form: ReplayJobForm) -> Result<Self, String> {
        Ok(Self {
            id: form.id,
            tenant: form.tenant,
            source: serde_json::from_str(&form.source).map_err(|error| format!("source: {error}"))?,
            dry_run: form.dry_run,
            rate_per_second: form.rate_per_second,
            desired: form.desired,
            created_by: form.created_by,
            created_at: form.created_at,
        })
    }
}

/// [`ReplayProgress`] in Avro.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayProgressForm {
    job: JobId,
    state: ReplayState,
    message: Option<String>,
    next: String,
    seen: i64,
    matched: i64,
    sent: i64,
    unavailable: i64,
    remaining: i64,
    rate: f64,
    seconds_left: Option<i64>,
    sample: Vec<String>,
    at: Timestamp,
}

impl AvroRecord for ReplayProgress {}

impl Wire for ReplayProgress {
    const SCHEMA: &'static str = "ReplayProgress";
    type Form = ReplayProgressForm;

    fn to_wire(&self) -> Cow<'_, ReplayProgressForm> {
        Cow::Owned(ReplayProgressForm {
            job: self.job.clone(),
            state: self.state,
            message: self.message.clone(),
            next: serde_json::to_string(&self.next).expect("offsets by partition are JSON"),
            seen: self.seen,
            matched: self.matched,
            sent: self.sent,
            unavailable: self.unavailable,
            remaining: self.remaining,
            rate: self.rate,
            seconds_left: self.seconds_left,
            sample: self.sample.clone(),
            at: self.at,
        })
    }

    fn from_wire(form: ReplayProgressForm) -> Result<Self, String> {
        let next: BTreeMap<i32, i64> = serde_json::from_str(&form.next).map_err(|error| format!("next: {error}"))?;
        Ok(Self {
            job: form.job,
            state: form.state,
            message: form.message,
            next,
            seen: form.seen,
            matched: form.matched,
            sent: form.sent,
            unavailable: form.unavailable,
            remaining: form.remaining,
            rate: form.rate,
            seconds_left: form.seconds_left,
            sample: form.sample,
            at: form.at,
        })
    }
}
