//! The headers by which a caller sees where its key stands: `RateLimit-*`.

use std::sync::Arc;

use parking_lot::Mutex;
use poem::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::whole_seconds;
use crate::auth::rate::RateStanding;

/// Where a request's key stands, noted where the key is checked and told with the answer, whatever that is.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateNote(Arc<Mutex<Option<RateStanding>>>);

impl RateNote {
    /// Notes where the key stands.
    pub fn set(&self, standing: RateStanding) {
        *self.0.lock() = Some(standing);
    }

    /// Adds the headers of what was noted.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let Some(standing) = *self.0.lock() else { return };
        let mut add = |name: &'static str, value: String| {
            let value = HeaderValue::from_str(&value).expect("numbers go into headers");
            headers.insert(HeaderName::from_static(name), value);
        };
        let limit = standing.limit;
        add("ratelimit-limit", limit.requests.to_string());
        add("ratelimit-remaining", standing.remaining.to_string());
        add("ratelimit-reset", whole_seconds(standing.reset).to_string());
        add("ratelimit-policy", format!("{};w={}", limit.requests, limit.period_seconds));
    }
}
