//! What requests that make or replace an endpoint look like.

use std::collections::BTreeMap;

use poem_openapi::{
    Object,
    types::{Example, MaybeUndefined},
};
use postrider_domain::retry::RetryPolicy;
use serde::Deserialize;

use super::{
    endpoint_patch::EndpointPatchInput,
    endpoint_setting_types::{
        BodyJson, ClientCertificate, MaintenanceJson, OrderingJson, RateLimitJson, SecretRotation, SigningJson,
        VerificationMethod,
    },
    problem::Problem,
    schema::{FilterJson, MappingJson, RetryJson, SecretJson},
    secret_types::{SecretKindJson, new_secret},
    state::ApiState,
    validate::{self, DEFAULT_TIMEOUT_MS},
};
use crate::manage::{
    endpoints::{EndpointPatch, NewEndpoint, NewSubscription},
    subscriptions::MAX_PER_ENDPOINT,
};

fn enabled_by_default() -> bool {
    true
}

fn default_timeout_ms() -> u32 {
    DEFAULT_TIMEOUT_MS
}

/// Defines a request with all that an endpoint can be given, and more: to make an endpoint and to replace one differ
/// in their subscriptions only.
macro_rules! endpoint_input {
    ($(#[$doc:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug, Object, Deserialize)]
        #[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// Its name, for people.
            #[oai(validator(min_length = 1, max_length = 200))]
            name: String,
            /// Where deliveries are posted: `https`, without credentials or fragment, to a public host.
            #[oai(validator(max_length = 2048))]
            url: String,
            /// What it is for.
            #[serde(default)]
            #[oai(default, validator(max_length = 2000))]
            description: String,
            /// Whether deliveries are sent; what is matched while it is false waits.
            #[serde(default = "enabled_by_default")]
            #[oai(default = "enabled_by_default")]
            enabled: bool,
            /// Deadline of one attempt, milliseconds.
            #[serde(default = "default_timeout_ms")]
            #[oai(default = "default_timeout_ms", validator(minimum(value = "1000"), maximum(value = "60000")))]
            timeout_ms: u32,
            /// When failed deliveries are tried again; the schedule `standard` if not given.
            retry: Option<RetryJson>,
            /// How many deliveries it takes; as many as it answers if not given.
            rate_limit: Option<RateLimitJson>,
            /// Makes it ordered, by the events' ordering key; in any order if not given.
            ordering: Option<OrderingJson>,
            /// How requests are signed; as Standard Webhooks says if not given.
            signing: Option<SigningJson>,
            /// What the body is; the envelope if not given.
            body: Option<BodyJson>,
            /// The largest body that is sent to it, in bytes: what is larger goes to the dead-letter queue. As large as
            /// any is, 1 MiB, if not given.
            #[oai(validator(minimum(value = "1024"), maximum(value = "1048576")))]
            max_payload_bytes: Option<u32>,
            /// Headers that are sent with every request, at most 20: name and value (4,096 bytes). Values are kept
            /// sealed and not shown again.
            #[serde(default)]
            #[oai(default)]
            headers: BTreeMap<String, Option<SecretJson>>,
            /// A client certificate for servers that ask for one. It is kept sealed and not shown again.
            client_certificate: Option<ClientCertificate>,
            /// Certificate authorities that are trusted instead of the deployment's: PEM.
            #[oai(validator(max_length = 65536))]
            ca: Option<String>,
            /// When nothing is sent.
            #[oai(validator(max_items = 20))]
            maintenance: Option<Vec<MaintenanceJson>>,
            /// What its owner keeps with it: at most 50 names (64 characters) and texts (500 characters). It is not sent.
            #[serde(default)]
            #[oai(default)]
            metadata: BTreeMap<String, String>,
            /// How it has to show that it wants events before any are sent to it; it need not if not given.
            verification: Option<VerificationMethod>,
            /// How its signing secret changes by itself; it does not if not given.
            secret_rotation: Option<SecretRotation>,
            $($more)*
        }

        impl $name {
            /// The change that gives an endpoint these values: what is not given goes to its default.
            fn into_patch(self) -> EndpointPatchInput {
                EndpointPatchInput {
                    name: MaybeUndefined::Value(self.name),
                    url: MaybeUndefined::Value(self.url),
                    description: MaybeUndefined::Value(self.description),
                    enabled: MaybeUndefined::Value(self.enabled),
                    timeout_ms: MaybeUndefined::Value(self.timeout_ms),
                    retry: MaybeUndefined::from_opt_null(self.retry),
                    rate_limit: MaybeUndefined::from_opt_null(self.rate_limit),
                    ordering: MaybeUndefined::from_opt_null(self.ordering),
                    signing: MaybeUndefined::from_opt_null(self.signing),
                    body: MaybeUndefined::from_opt_null(self.body),
                    headers: MaybeUndefined::Value(self.headers),
                    client_certificate: MaybeUndefined::from_opt_null(self.client_certificate),
                    ca: MaybeUndefined::from_opt_null(self.ca),
                    max_payload_bytes: MaybeUndefined::from_opt_null(self.max_payload_bytes),
                    maintenance: MaybeUndefined::from_opt_null(self.maintenance),
                    metadata: MaybeUndefined::Value(self.metadata.into_iter().map(|(n, text)| (n, Some(text))).collect()),
                    verification: MaybeUndefined::from_opt_null(self.verification),
                    secret_rotation: MaybeUndefined::from_opt_null(self.secret_rotation),
                }
            }
        }
    };
}

endpoint_input! {
    /// An endpoint that is to be made.
    EndpointInput {
        /// A first subscription, without filter and mapping, to these event types: short for an entry of
        /// `subscriptions`.
        #[oai(validator(min_items = 1, max_items = 100))]
        event_types: Option<Vec<String>>,
        /// The subscriptions that it starts with.
        #[serde(default)]
        #[oai(default, validator(max_items = 100))]
        subscriptions: Vec<InlineSubscription>,
        /// A signing secret of your own: `whsec_` and 24 to 64 random bytes in base64, or `whsk_` and an ed25519 private
        /// key. Postrider makes one if not given.
        secret: Option<SecretJson>,
        /// What kind of secret is made: `hmac` if not given.
        secret_kind: Option<SecretKindJson>,
    }
}

endpoint_input! {
    /// What an endpoint is to be from now on: what is not given goes back to its default. A header whose value is
    /// `********` keeps it.
    EndpointReplacement {}
}

/// A subscription within an endpoint that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct InlineSubscription {
    /// The event types that it wants: exact (`order.created`), all below a prefix (`order.*`), or all (`*`).
    #[oai(validator(min_items = 1, max_items = 100))]
    event_types: Vec<String>,
    /// What must hold besides the type; everything matches if not given.
    filter: Option<FilterJson>,
    /// What is sent instead of the endpoint's usual request.
    mapping: Option<MappingJson>,
}

impl Example for EndpointInput {
    fn example() -> Self {
        Self {
            name: "Order hook".to_owned(),
            url: "https://hooks.example.com/orders".to_owned(),
            description: "Tells the warehouse about orders".to_owned(),
            event_types: None,
            subscriptions: vec![InlineSubscription {
                event_types: vec!["order.*".to_owned()],
                filter: None,
                mapping: None,
            }],
            enabled: true,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            retry: Some(RetryJson(RetryPolicy::default())),
            rate_limit: None,
            ordering: None,
            signing: None,
            body: None,
            headers: BTreeMap::new(),
            client_certificate: None,
            ca: None,
            max_payload_bytes: None,
            maintenance: None,
            metadata: BTreeMap::from([("team".to_owned(), "warehouse".to_owned())]),
            verification: None,
            secret_rotation: None,
            secret: None,
            secret_kind: None,
        }
    }
}

impl Example for EndpointReplacement {
    fn example() -> Self {
        Self {
            name: "Order hook".to_owned(),
            url: "https://hooks.example.com/v2/orders".to_owned(),
            description: "Tells the warehouse about orders".to_owned(),
            enabled: true,
            timeout_ms: 10_000,
            retry: Some(RetryJson(RetryPolicy::default())),
            rate_limit: None,
            ordering: None,
            signing: None,
            body: None,
            headers: BTreeMap::new(),
            client_certificate: None,
            ca: None,
            max_payload_bytes: None,
            maintenance: None,
            metadata: BTreeMap::from([("team".to_owned(), "warehouse".to_owned())]),
            verification: None,
            secret_rotation: None,
        }
    }
}

impl EndpointInput {
    /// Checks every value.
    pub(super) async fn check(self, state: &ApiState) -> Result<NewEndpoint, Problem> {
        let mut subscriptions = Vec::new();
        if let Some(texts) = &self.event_types {
            let event_types = validate::event_types("/event_types", texts)?;
            subscriptions.push(NewSubscription { event_types, filter: None, mapping: None });
        }
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            subscriptions.push(subscription.check(&format!("/subscriptions/{index}"))?);
        }
        if subscriptions.len() > MAX_PER_ENDPOINT {
            let detail = format!("at most {MAX_PER_ENDPOINT} subscriptions are allowed");
            return Err(Problem::field("/subscriptions", detail));
        }
        let secret = new_secret(self.secret.as_ref(), self.secret_kind)?;
        let given = self.into_patch().check(state).await?;
        Ok(NewEndpoint {
            name: given.name.expect("it is required"),
            target: given.target.expect("it is required"),
            description: given.description.unwrap_or_default(),
            enabled: given.enabled.unwrap_or(true),
            timeout_ms: given.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
            retry: given.retry.unwrap_or_default(),
            settings: given.settings,
            metadata: given.metadata,
            verification: given.verification.flatten(),
            rotation: given.rotation.flatten(),
            secret,
            subscriptions,
        })
    }
}

impl EndpointReplacement {
    /// Checks every value.
    pub(super) async fn check(self, state: &ApiState) -> Result<EndpointPatch, Problem> {
        let mut patch = self.into_patch().check(state).await?;
        patch.settings.removes_other_headers = true;
        patch.metadata.removes_others = true;
        Ok(patch)
    }
}

impl InlineSubscription {
    fn check(&self, field: &str) -> Result<NewSubscription, Problem> {
        let (filter, mapping) = (self.filter.as_ref(), self.mapping.as_ref());
        Ok(NewSubscription {
            event_types: validate::event_types(&format!("{field}/event_types"), &self.event_types)?,
            filter: filter.map(|filter| validate::filter(&format!("{field}/filter"), filter)).transpose()?,
            mapping: mapping.map(|mapping| validate::mapping(&format!("{field}/mapping"), mapping)).transpose()?,
        })
    }
}
