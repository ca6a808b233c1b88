//! Identifiers: prefixed, and (where Postrider makes them) sorting by the time they were made.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use rand::Rng;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::Timestamp;

/// Why a text is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is not {what}: expected '{prefix}' followed by 26 letters and digits")]
pub struct InvalidId {
    /// The kind of identifier asked for, with its article.
    what: &'static str,
    /// The prefix that it must have.
    prefix: &'static str,
    /// What was given, cut to 64 characters.
    value: String,
}

/// The longest identifier that is echoed in an error.
const ECHOED_CHARACTERS: usize = 64;

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What every identifier of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// A new identifier that sorts by `now`.
            pub fn generate(now: Timestamp, rng: &mut impl Rng) -> Self {
                let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
                let ulid = Ulid::from_parts(now.as_millis().unsigned_abs(), random);
                Self(format!("{}{}", $prefix, ulid.to_string().to_ascii_lowercase()).into())
            }

            /// The identifier as text, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Takes a text that is known to be valid, as what Postrider itself stored.
            pub fn from_trusted(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid = text.strip_prefix($prefix).is_some_and(|rest| {
                    rest.len() == 26 && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                });
                if valid {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId {
                        what: $what,
                        prefix: $prefix,
                        value: text.chars().take(ECHOED_CHARACTERS).collect(),
                    })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

prefixed_id!(
    /// A customer of the deployment: owns endpoints, subscriptions and keys.
    TenantId, "ten_", "a tenant id"
);
prefixed_id!(
    /// An HTTP endpoint that receives deliveries; the key of every routed topic.
    EndpointId, "ep_", "an endpoint id"
);
prefixed_id!(
    /// A subscription of one endpoint to event types.
    SubscriptionId, "sub_", "a subscription id"
);
prefixed_id!(
    /// A template that a tenant saved.
    TemplateId, "tpl_", "a template id"
);
prefixed_id!(
    /// An API key.
    KeyId, "key_", "an API key id"
);
prefixed_id!(
    /// One version of an endpoint's signing secret.
    SecretId, "sec_", "a secret id"
);
prefixed_id!(
    /// An event type of the catalogue.
    EventTypeId, "ety_", "an event type's id"
);
prefixed_id!(
    /// A replay job.
    JobId, "job_", "a replay job id"
);
prefixed_id!(
    /// The `webhook-id` of a delivery: derived from event and endpoint, see [`crate::message_id`].
    MessageId, "msg_", "a message id"
);

/// The identity of an event within the deployment: its source's name and its own id, length-prefixed,
/// or the coordinates of a record that has none. Made by [`crate::message_id`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Arc<str>);

impl EventId {
    /// Takes the text of an identity made by [`crate::message_id`] or read back from a record.
    pub fn from_trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of an entry of `postrider.config`: the id of whatever entity it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityId(Arc<str>);

impl EntityId {
    /// Takes the text of any entity's id.
    pub fn from_trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! into_entity_id {
    ($($name:ident),*) => {$(
        impl From<&$name> for EntityId {
            fn from(id: &$name) -> Self {
                Self(id.0.clone())
            }
        }
    )*};
}
into_entity_id!(TenantId, EndpointId, SubscriptionId, EventTypeId);

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn generated_ids_parse_and_sort_by_time() {
        let mut rng = StdRng::seed_from_u64(1);
        let early = EndpointId::generate(Timestamp::from_millis(1_000), &mut rng);
        let late = EndpointId::generate(Timestamp::from_millis(2_000), &mut rng);
        assert!(early < late);
        assert_eq!(early.as_str().parse::<EndpointId>().as_ref(), Ok(&early));
    }

    #[test]
    fn a_foreign_prefix_and_a_bad_body_are_refused() {
        for bad in [
            "",
            "ep_",
            "sub_01hzzzzzzzzzzzzzzzzzzzzzzz",
            "ep_01HZZZZZZZZZZZZZZZZZZZZZZZ",
            "ep_0/hzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert!(bad.parse::<EndpointId>().is_err(), "{bad}");
        }
    }
}
