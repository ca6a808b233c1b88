//! Matcher: turns each event of a source into one delivery for each endpoint that wants it.
//!
//! ```text
//! Reads:        the sources' topics        (key: the user's)
//! Writes:       postrider.deliveries       (key: endpoint id); postrider.rejected; for bodies that are too
//!               large, postrider.dlq and postrider.delivery-events; to postrider.progress, from where on new
//!               subscriptions are matched
//! Commits when: all deliveries of the event are acknowledged, or it is a duplicate of one that was settled; and from
//!               where on it is matched so; with the directory's version
//! On failure:   what can't be written is not settled; what can't be understood is rejected, with its reason;
//!               without a complete directory no record is looked at
//! ```

mod announce;
mod decode;
mod dedupe;
mod json;
mod matching;
mod record;
mod rematch;
mod service;
mod source;

pub(crate) use matching::Scope;
pub(crate) use rematch::rematch;
pub use service::{Matcher, MatcherConfig, MatcherDeps};
pub use source::{SourceConfig, SourceFormat};
