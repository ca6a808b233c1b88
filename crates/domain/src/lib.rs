//! Postrider's domain: what an event, an endpoint, a subscription and a delivery are, and every decision
//! that is made about them. Pure: no I/O, no async runtime, and time and randomness come in as arguments.

pub mod breaker;
pub mod concurrency;
pub mod config_entry;
pub mod custom_header;
pub mod dedupe;
pub mod delivery;
pub mod delivery_event;
pub mod egress;
pub mod endpoint;
pub mod endpoint_state;
pub mod envelope;
pub mod event;
pub mod event_type;
pub mod failing;
pub mod filter;
pub mod gate;
pub mod health;
pub mod histogram;
pub mod ids;
pub mod index;
pub mod ip_rules;
pub mod json_text;
pub mod limiter;
pub mod mapping;
pub mod masking;
pub mod message_id;
pub mod monotonic;
pub mod outcome;
pub mod overrides;
pub mod pattern;
pub mod priority;
pub mod replay;
pub mod retry;
pub mod rollup;
pub mod runs;
pub mod seal;
pub mod sharded;
pub mod share;
pub mod signing;
pub mod subscription;
pub mod tally;
pub mod template;
pub mod tier;
pub mod time;
pub mod version;

pub use config_entry::{ConfigBody, ConfigEntry, ConfigMarker, EntityKind};
pub use delivery::{Attempt, Delivery, DeliveryKind, Method, Routing, Run};
pub use delivery_event::{DeliveryEvent, DeliveryEventBody};
pub use endpoint::Endpoint;
pub use event::{Event, SourceCoordinates};
pub use event_type::EventType;
pub use ids::{
    EndpointId, EntityId, EventId, EventTypeId, JobId, KeyId, MessageId, SecretId, SubscriptionId, TemplateId, TenantId,
};
pub use limiter::RateLimit;
pub use monotonic::Monotonic;
pub use outcome::{ErrorClass, NextStep, Outcome};
pub use priority::Priority;
pub use runs::{InvalidRuns, Runs};
pub use subscription::Subscription;
pub use time::Timestamp;
pub use version::DirectoryVersion;
