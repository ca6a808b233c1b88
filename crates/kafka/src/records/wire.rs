//! The form in which a value maps onto its Avro schema: mostly the value itself.
//!
//! A record is decoded with its writer's schema, so that a field which an older writer did not have is simply not
//! there: whatever is added to a form has `#[serde(default)]` or is an `Option`, and a default in its schema.

use std::borrow::Cow;

use postrider_domain::{
    ConfigMarker, Delivery, DeliveryEvent,
    delivery_event::{DeadLetter, HeldRange},
    endpoint_state::{EndpointState, StateTerm},
    overrides::Override,
    replay::{DeadLetterMark, MatchedFrom},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::codec::AvroRecord;

/// This build's schemas, by name.
pub(crate) const SCHEMAS: [(&str, &str); 13] = [
    ("ConfigEntry", include_str!("../../../../schemas/config_entry.avsc")),
    ("ConfigMarker", include_str!("../../../../schemas/config_marker.avsc")),
    ("DeadLetter", include_str!("../../../../schemas/dead_letter.avsc")),
    ("DeadLetterMark", include_str!("../../../../schemas/dead_letter_mark.avsc")),
    ("Delivery", include_str!("../../../../schemas/delivery.avsc")),
    ("DeliveryEvent", include_str!("../../../../schemas/delivery_event.avsc")),
    ("EndpointState", include_str!("../../../../schemas/endpoint_state.avsc")),
    ("HeldRange", include_str!("../../../../schemas/held_range.avsc")),
    ("MatchedFrom", include_str!("../../../../schemas/matched_from.avsc")),
    ("Override", include_str!("../../../../schemas/override.avsc")),
    ("ReplayJob", include_str!("../../../../schemas/replay_job.avsc")),
    ("ReplayProgress", include_str!("../../../../schemas/replay_progress.avsc")),
    ("StateTerm", include_str!("../../../../schemas/state_term.avsc")),
];

/// The form of a value that maps onto its Avro schema.
pub trait Wire: Sized {
    /// The schema's name.
    const SCHEMA: &'static str;
    /// The form.
    type Form: Serialize + DeserializeOwned + Clone;
    /// The value in that form.
    fn to_wire(&self) -> Cow<'_, Self::Form>;
    /// The value from that form. Error: why it is not one.
    fn from_wire(form: Self::Form) -> Result<Self, String>;
}

macro_rules! as_it_is {
    ($($type:ident),*) => {$(
        impl AvroRecord for $type {}
        impl Wire for $type {
            const SCHEMA: &'static str = stringify!($type);
            type Form = Self;
            fn to_wire(&self) -> Cow<'_, Self> {
                Cow::Borrowed(self)
            }
            fn from_wire(form: Self) -> Result<Self, String> {
                Ok(form)
            }
        }
    )*};
}
as_it_is!(
    ConfigMarker,
    DeadLetter,
    DeadLetterMark,
    Delivery,
    DeliveryEvent,
    EndpointState,
    HeldRange,
    MatchedFrom,
    Override,
    StateTerm
);
