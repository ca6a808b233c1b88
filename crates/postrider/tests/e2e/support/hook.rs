//! An endpoint together with the path of the receiver that it points to.

use postrider_domain::{
    EndpointId,
    message_id::{event_id, message_id},
};
use postrider_testkit::{Received, Receiver};
use serde_json::{Value, json};

use super::{LIMIT, Tenant};

/// An endpoint and where its deliveries arrive.
pub struct Hook<'a> {
    /// The endpoint's id.
    pub id: String,
    /// Its signing secret.
    pub secret: String,
    path: String,
    receiver: &'a Receiver,
}

impl<'a> Hook<'a> {
    /// Makes an endpoint for everything, with `more` (which wins) in its request. Its receiver verifies signatures.
    pub async fn create(tenant: &Tenant, receiver: &'a Receiver, path: &str, more: Value) -> Self {
        Self::create_at(tenant, receiver, path, receiver.url(path), more).await
    }

    /// The same, where the endpoint's URL is not the receiver's own.
    pub async fn create_at(tenant: &Tenant, receiver: &'a Receiver, path: &str, url: String, more: Value) -> Self {
        let mut request = json!({"name": path, "url": url});
        let Value::Object(more) = more else { panic!("more is an object") };
        if !more.contains_key("event_types") && !more.contains_key("subscriptions") {
            request["event_types"] = json!(["*"]);
        }
        request.as_object_mut().unwrap().extend(more);
        let created = tenant.create_endpoint(&request).await;
        let secret = created["secret"].as_str().unwrap().to_owned();
        receiver.verify(path, &secret).unwrap();
        Self { id: created["id"].as_str().unwrap().to_owned(), secret, path: path.to_owned(), receiver }
    }

    /// Waits until `count` requests have arrived, all signed as they must be, and returns them.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let received = self.receiver.wait_for(&self.path, count, LIMIT).await;
        assert_eq!(self.receiver.bad_signatures(&self.path), 0, "bad signatures at {}", self.path);
        received
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.receiver.count(&self.path)
    }

    /// The requests that have arrived, in order.
    pub fn received(&self) -> Vec<Received> {
        self.receiver.received(&self.path)
    }

    /// The `data` of every request that has arrived, in order.
    pub fn data(&self) -> Vec<Value> {
        self.received().iter().map(data).collect()
    }

    /// The message id of an event that was written to the built-in source with this id.
    pub fn message_id(&self, event: &str) -> String {
        message_id(&event_id("events", None, event), &EndpointId::from_trusted(self.id.as_str())).to_string()
    }
}

/// The `data` of a delivered envelope.
fn data(received: &Received) -> Value {
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    body["data"].clone()
}
