//! Records as producers write them.

use std::sync::Arc;

use bytes::Bytes;
use postrider_kafka::{Headers, Outgoing};
use serde_json::{Value, json};

use super::{Deployment, Tenant};

/// A record for a topic.
pub fn record(topic: &str, key: &str, value: impl Into<Bytes>, headers: &[(&str, &str)]) -> Outgoing {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.push(*name, value.as_bytes().to_vec());
    }
    let key = Bytes::copy_from_slice(key.as_bytes());
    Outgoing { topic: Arc::from(topic), partition: None, key, value: Some(value.into()), headers: all }
}

/// A plain JSON event for the built-in source.
pub fn event(deployment: &Deployment, tenant: &Tenant, id: &str, event_type: &str, data: &Value) -> Outgoing {
    let value = json!({"id": id, "type": event_type, "tenant": tenant.id, "data": data});
    record(&deployment.topics.events(), id, value.to_string(), &[])
}
