//! Topics in which records of two kinds stand side by side, told apart by the schema that they were written with.

use postrider_domain::{
    DeliveryEvent,
    delivery_event::{DeadLetter, HeldRange},
    endpoint_state::{EndpointState, StateTerm},
    replay::{DeadLetterMark, MatchedFrom, ReplayProgress},
};

use super::Wire;
use crate::{Codec, DecodeError};

macro_rules! mixed {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($type:ident)),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "one is decoded at a time, and mostly it is the large one")]
        pub enum $name {
            $($(#[$variant_doc])* $variant($type)),*
        }

        impl $name {
            /// Decodes a record of either kind.
            pub fn decode(codec: &Codec, bytes: &[u8]) -> Result<Self, DecodeError> {
                let name = codec.schema_name(bytes)?;
                match &*name {
                    $($type::SCHEMA => codec.decode(bytes).map(Self::$variant),)*
                    _ => Err(DecodeError::Corrupt(format!("a record of kind {name} does not belong here"))),
                }
            }
        }
    };
}

mixed!(
    /// A record of `postrider.delivery-events`.
    LogRecord {
        /// What happened to one delivery.
        Delivery(DeliveryEvent),
        /// How many held deliveries ended at once.
        Range(HeldRange),
    }
);

mixed!(
    /// A record of `postrider.dlq`.
    DlqRecord {
        /// An entry.
        Letter(DeadLetter),
        /// That an entry was dealt with.
        Mark(DeadLetterMark),
    }
);

mixed!(
    /// A record of `postrider.progress`.
    ProgressRecord {
        /// How far a job has come.
        Progress(ReplayProgress),
        /// Where the live matcher began to match by a version.
        MatchedFrom(MatchedFrom),
    }
);

mixed!(
    /// A record of `postrider.endpoint-state`.
    StateRecord {
        /// What is known of one endpoint.
        Endpoint(EndpointState),
        /// The term of the partition's owner.
        Term(StateTerm),
    }
);
