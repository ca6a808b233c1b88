//! What requests that change an endpoint look like: JSON Merge Patch (RFC 7396).

use std::collections::BTreeMap;

use poem_openapi::{
    Object,
    types::{Example, MaybeUndefined},
};
use serde::Deserialize;

use super::{
    body::escaped,
    endpoint_setting_types::{
        BodyJson, ClientCertificate, MaintenanceJson, OrderingJson, RateLimitJson, SecretRotation, SigningJson,
        VerificationMethod,
    },
    endpoint_settings::SettingsInput,
    problem::Problem,
    schema::{RetryJson, SecretJson},
    state::ApiState,
    validate::{self, DEFAULT_TIMEOUT_MS},
};
use crate::manage::{endpoint_metadata::MetadataPatch, endpoints::EndpointPatch};

/// The longest name of an entry of metadata.
const MAX_METADATA_NAME_CHARACTERS: usize = 64;
/// The longest text of one.
const MAX_METADATA_CHARACTERS: usize = 500;

/// What of an endpoint is to be changed, as JSON Merge Patch (RFC 7396): what is not given stays, and what is null goes
/// back to its default.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EndpointPatchInput {
    /// Its name; not null.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: MaybeUndefined<String>,
    /// Where deliveries are posted; not null.
    #[oai(validator(max_length = 2048))]
    pub url: MaybeUndefined<String>,
    /// What it is for.
    #[oai(validator(max_length = 2000))]
    pub description: MaybeUndefined<String>,
    /// Whether deliveries are sent.
    pub enabled: MaybeUndefined<bool>,
    /// Deadline of one attempt, milliseconds.
    #[oai(validator(minimum(value = "1000"), maximum(value = "60000")))]
    pub timeout_ms: MaybeUndefined<u32>,
    /// When failed deliveries are tried again.
    pub retry: MaybeUndefined<RetryJson>,
    /// How many deliveries it takes; null lifts the limit.
    pub rate_limit: MaybeUndefined<RateLimitJson>,
    /// Makes it ordered, by the events' ordering key; null ends that.
    pub ordering: MaybeUndefined<OrderingJson>,
    /// How requests are signed.
    pub signing: MaybeUndefined<SigningJson>,
    /// What the body is, of events that are matched from then on.
    pub body: MaybeUndefined<BodyJson>,
    /// The largest body that is sent to it, in bytes; null: as large as any is.
    #[oai(validator(minimum(value = "1024"), maximum(value = "1048576")))]
    pub max_payload_bytes: MaybeUndefined<u32>,
    /// Headers that change, by name: a value, or null to remove the header. Those that are not named stay, and so
    /// does one whose value is `********`. Null removes them all.
    pub headers: MaybeUndefined<BTreeMap<String, Option<SecretJson>>>,
    /// A client certificate for servers that ask for one; null removes it.
    pub client_certificate: MaybeUndefined<ClientCertificate>,
    /// Certificate authorities that are trusted instead of the deployment's: PEM; null removes them.
    #[oai(validator(max_length = 65536))]
    pub ca: MaybeUndefined<String>,
    /// When nothing is sent: replaces all that were given before.
    #[oai(validator(max_items = 20))]
    pub maintenance: MaybeUndefined<Vec<MaintenanceJson>>,
    /// Metadata that changes, by name: a text, or null to remove it. What is not named stays. Null removes it all.
    pub metadata: MaybeUndefined<BTreeMap<String, Option<String>>>,
    /// How it has to show that it wants events; null: it need not.
    pub verification: MaybeUndefined<VerificationMethod>,
    /// How its signing secret changes by itself; null: it does not.
    pub secret_rotation: MaybeUndefined<SecretRotation>,
}

impl Example for EndpointPatchInput {
    fn example() -> Self {
        Self {
            url: MaybeUndefined::Value("https://hooks.example.com/v2/orders".to_owned()),
            enabled: MaybeUndefined::Value(true),
            timeout_ms: MaybeUndefined::Value(10_000),
            ..Self::default()
        }
    }
}

impl EndpointPatchInput {
    /// Checks every value.
    pub(super) async fn check(self, state: &ApiState) -> Result<EndpointPatch, Problem> {
        let settings = SettingsInput {
            rate_limit: self.rate_limit,
            ordering: self.ordering,
            signing: self.signing,
            body: self.body,
            max_payload_bytes: self.max_payload_bytes,
            headers: self.headers,
            client_certificate: self.client_certificate,
            ca: self.ca,
            maintenance: self.maintenance,
        };
        let description = |text| validate::description("/description", text);
        let timeout_ms = |value| validate::timeout_ms("/timeout_ms", value);
        Ok(EndpointPatch {
            name: required("/name", self.name)?.map(|name| validate::name("/name", &name)).transpose()?,
            description: or_default(self.description, String::new()).map(description).transpose()?,
            enabled: or_default(self.enabled, true),
            timeout_ms: or_default(self.timeout_ms, DEFAULT_TIMEOUT_MS).map(timeout_ms).transpose()?,
            retry: or_default(self.retry, RetryJson::default()).map(|retry| retry.0),
            settings: settings.check(state.check_certificates)?,
            metadata: metadata(self.metadata)?,
            verification: named(self.verification).map(|method| method.map(Into::into)),
            rotation: match named(self.secret_rotation) {
                Some(Some(rotation)) => Some(Some(rotation.check("/secret_rotation")?)),
                other => other.map(|_| None),
            },
            // Last: it may ask a name server.
            target: match required("/url", self.url)? {
                Some(url) => Some(validate::url("/url", &url, state).await?),
                None => None,
            },
        })
    }
}

fn metadata(field: MaybeUndefined<BTreeMap<String, Option<String>>>) -> Result<MetadataPatch, Problem> {
    let removes_others = field.is_null();
    let entries = or_default(field, BTreeMap::new()).unwrap_or_default();
    for (name, text) in &entries {
        let field = || format!("/metadata/{}", escaped(name));
        if name.is_empty() {
            return Err(Problem::field(field(), "needs a name"));
        }
        validate::line(&field(), name, MAX_METADATA_NAME_CHARACTERS)?;
        validate::line(&field(), text.as_deref().unwrap_or_default(), MAX_METADATA_CHARACTERS)?;
    }
    Ok(MetadataPatch { entries, removes_others })
}

/// What a field says, if it is there.
#[expect(clippy::option_option, reason = "not named, removed and set, as in a patch")]
pub(super) fn named<T>(field: MaybeUndefined<T>) -> Option<Option<T>> {
    match field {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// What a field is to be, if it is given.
pub(super) fn or_default<T>(field: MaybeUndefined<T>, default: T) -> Option<T> {
    match field {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(default),
        MaybeUndefined::Value(value) => Some(value),
    }
}

/// What a field is to be that can't go away, if it is given.
fn required<T>(pointer: &str, field: MaybeUndefined<T>) -> Result<Option<T>, Problem> {
    match field {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Err(Problem::field(pointer, "can't be removed: give a value, or leave it out")),
        MaybeUndefined::Value(value) => Ok(Some(value)),
    }
}
