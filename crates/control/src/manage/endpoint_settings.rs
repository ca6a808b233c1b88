//! Changes of what of an endpoint is usually left as it is.

use postrider_domain::{
    RateLimit,
    endpoint::{EndpointSettings, Ordering},
};
use serde_json::{Value, json};

/// What of an endpoint's settings is to be changed, or to be other than the default in a new endpoint's.
#[derive(Debug, Default)]
pub struct SettingsPatch {
    /// How many deliveries it takes; `Some(None)` lifts the limit.
    pub rate_limit: Option<Option<RateLimit>>,
    /// Whether deliveries of one key are sent in order; `Some(None)` ends that.
    pub ordering: Option<Option<Ordering>>,
}

impl SettingsPatch {
    /// The settings after the patch.
    pub(super) fn apply(self, mut settings: EndpointSettings) -> EndpointSettings {
        settings.rate_limit = self.rate_limit.unwrap_or(settings.rate_limit);
        settings.ordering = self.ordering.unwrap_or(settings.ordering);
        settings
    }
}

/// Settings in the audit log: what is secret is left out.
pub(super) fn audited(settings: &EndpointSettings) -> Value {
    json!({
        "paused": settings.paused,
        "skip_before": settings.skip_before.map(|before| before.to_rfc3339()),
        "rate_limit": settings.rate_limit,
        "ordering": settings.ordering,
    })
}
