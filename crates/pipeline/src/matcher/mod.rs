//! Matcher: turns each event of a source into one delivery for each endpoint that wants it.
//!
//! ```text
//! Reads:        the sources' topics        (key: the user's)
//! Writes:       postrider.deliveries       (key: endpoint id); postrider.rejected; for bodies that are too
//!               large, postrider.dlq and postrider.delivery-events
//! Commits when: all deliveries of the event are acknowledged, or it is a duplicate of one that was settled; with the
//!               directory's version
//! On failure:   what can't be written is not settled; what can't be understood is rejected, with its reason;
//!               without a complete directory no record is looked at
//! ```

mod decode;
mod dedupe;
mod json;
mod matching;
mod record;
mod service;
mod source;

pub use service::{Matcher, MatcherConfig, MatcherDeps};
pub use source::{SourceConfig, SourceFormat};
