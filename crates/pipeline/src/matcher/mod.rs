//! Matcher: turns each event of a source into one delivery for each endpoint that wants it.
//!
//! ```text
//! Reads:        the sources' topics        (key: the user's)
//! Writes:       postrider.deliveries       (key: endpoint id); postrider.rejected; for bodies that are too
//!               large and events that can't be mapped, postrider.dlq and postrider.delivery-events; to
//!               postrider.progress, from where on new subscriptions are matched
//! Commits when: all deliveries of the record's events are acknowledged, or it is a duplicate of one that was settled; and from
//!               where on it is matched so; with the directory's version
//! On failure:   what can't be written is not settled; what can't be understood is rejected, with its reason;
//!               without a complete directory no record is looked at; a record whose schema can't be fetched holds its
//!               partition
//! ```

mod announce;
mod avro;
mod counters;
mod decode;
mod dedupe;
mod fields;
mod given;
mod inspect;
mod json;
mod kept;
mod lookup;
mod matching;
mod partition;
mod pointer;
mod record;
mod rematch;
mod service;
mod source;
mod validation;

pub(crate) use avro::Decoder;
pub use avro::Schemas;
pub use fields::{FieldFrom, Fields};
pub use given::read_event;
pub use inspect::{Inspected, Inspector, Understood};
pub use lookup::{EventLookup, NoEvents};
pub(crate) use matching::{Composed, Scope, Unmapped};
pub use pointer::{InvalidPointer, Pointer};
pub(crate) use rematch::{Planned, rematch};
pub use service::{Matcher, MatcherConfig, MatcherDeps};
pub use source::{SourceConfig, SourceFormat};
