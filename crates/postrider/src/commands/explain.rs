//! `postrider explain`: whether a subscription matches an event, and if not, why.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use postrider_control::clock;
use postrider_domain::{
    EndpointId, Event, Subscription, SubscriptionId, TenantId, Timestamp,
    filter::{EventView, Explanation, Filter, explain},
    pattern::TypePattern,
};
use postrider_pipeline::matcher::read_event;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cli::{Explain, Output},
    failure::Failure,
};

/// What is read of a file at most: a little more than an event may have, which its reader then says.
const MAX_READ_BYTES: u64 = 2 << 20;
const NOT_MATCHED: u8 = 3;

/// What counts of a subscription's JSON.
#[derive(Debug, Deserialize)]
struct GivenJson {
    tenant_id: Option<String>,
    event_types: Vec<String>,
    filter: Option<Value>,
}

/// The same, checked.
#[derive(Debug)]
struct Given {
    tenant: Option<TenantId>,
    event_types: Vec<TypePattern>,
    filter: Option<Filter>,
}

/// Explains, and answers whether it matches as the exit code.
pub fn run(arguments: &Explain) -> Result<ExitCode, Failure> {
    let given = read(&arguments.subscription).and_then(|bytes| Given::parse(&bytes));
    let given = given.with_context(|| format!("the subscription in {}", arguments.subscription.display()))?;
    let event = read(&arguments.event).and_then(|bytes| given.event(&arguments.source, bytes.into()));
    let event = event.with_context(|| format!("the event in {}", arguments.event.display()))?;
    let explanation = explain(&given.into_subscription(&event), &EventView::new(&event));
    match arguments.output {
        Output::Text => println!("{explanation}"),
        Output::Json => println!("{}", as_json(&explanation)),
    }
    Ok(if explanation.is_match() { ExitCode::SUCCESS } else { ExitCode::from(NOT_MATCHED) })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    source.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

impl Given {
    fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let json: GivenJson = serde_json::from_slice(json).context("it is not JSON as the API gives it")?;
        let event_types = json.event_types.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        Ok(Self {
            tenant: json.tenant_id.as_deref().map(str::parse).transpose().context("tenant_id")?,
            event_types: event_types.context("event_types")?,
            filter: json.filter.as_ref().map(Filter::from_json).transpose()?,
        })
    }

    /// The event that `json` is; of the subscription's tenant if it names none.
    fn event(&self, source: &str, json: Bytes) -> anyhow::Result<Event> {
        let unnamed = || TenantId::from_trusted("ten_unnamed");
        let tenant = self.tenant.clone().unwrap_or_else(unnamed);
        read_event(source, &tenant, json, clock::now()).map_err(|reason| anyhow!(reason))
    }

    /// What is asked about; of the event's tenant if it names none.
    fn into_subscription(self, event: &Event) -> Subscription {
        Subscription {
            id: SubscriptionId::from_trusted("sub_given"),
            tenant: self.tenant.unwrap_or_else(|| event.tenant.clone()),
            endpoint: EndpointId::from_trusted("ep_given"),
            event_types: self.event_types,
            filter: self.filter,
            mapping: None,
            created_at: Timestamp::EPOCH,
        }
    }
}

fn as_json(explanation: &Explanation) -> Value {
    let mut json = json!({"matched": explanation.is_match()});
    if let (Value::Object(json), Ok(Value::Object(more))) = (&mut json, serde_json::to_value(explanation)) {
        json.extend(more);
    }
    json
}
