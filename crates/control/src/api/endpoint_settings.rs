//! What of an endpoint's settings requests and answers say, and what is checked of it.

use std::collections::{BTreeMap, HashSet};

use poem_openapi::{Object, types::MaybeUndefined};
use postrider_domain::{
    RateLimit,
    custom_header::{check_custom_header, check_signature_header},
    endpoint::{EndpointSettings, MaintenanceWindow, SigningStyle},
    envelope::MAX_BODY_BYTES,
};

use super::{
    body::escaped,
    endpoint_patch::{named, or_default},
    endpoint_setting_types::{BodyJson, ClientCertificate, MaintenanceJson, OrderingJson, RateLimitJson, SigningJson},
    problem::Problem,
    schema::{SecretJson, Time},
    state::CertificateCheck,
};
use crate::{
    manage::endpoint_settings::SettingsPatch,
    secret_text::{REDACTED, SecretText},
};

/// The most maintenance windows of one endpoint.
const MAX_MAINTENANCE_WINDOWS: usize = 20;
/// The lowest limit of a body.
const MIN_PAYLOAD_LIMIT_BYTES: u32 = 1_024;
/// The longest certificate chain, private key or list of authorities.
const MAX_PEM_BYTES: usize = 64 << 10;

/// What of an endpoint's settings a request names.
#[derive(Debug)]
pub(super) struct SettingsInput {
    pub rate_limit: MaybeUndefined<RateLimitJson>,
    pub ordering: MaybeUndefined<OrderingJson>,
    pub signing: MaybeUndefined<SigningJson>,
    pub body: MaybeUndefined<BodyJson>,
    pub max_payload_bytes: MaybeUndefined<u32>,
    pub headers: MaybeUndefined<BTreeMap<String, Option<SecretJson>>>,
    pub client_certificate: MaybeUndefined<ClientCertificate>,
    pub ca: MaybeUndefined<String>,
    pub maintenance: MaybeUndefined<Vec<MaintenanceJson>>,
}

impl SettingsInput {
    /// Checks every value.
    pub(super) fn check(self, certificates: CertificateCheck) -> Result<SettingsPatch, Problem> {
        let removes_other_headers = self.headers.is_null();
        Ok(SettingsPatch {
            rate_limit: named(self.rate_limit).map(|limit| limit.map(|limit| limit.0)),
            ordering: named(self.ordering).map(|ordering| ordering.map(|ordering| ordering.0)),
            signing: or_default(self.signing, SigningJson::Standard).map(signing).transpose()?,
            body: or_default(self.body, BodyJson::default()).map(|body| body.0),
            max_payload_bytes: match named(self.max_payload_bytes) {
                Some(Some(bytes)) => Some(Some(max_payload_bytes(bytes)?)),
                other => other,
            },
            headers: headers(or_default(self.headers, BTreeMap::new()).unwrap_or_default())?,
            removes_other_headers,
            client_identity: match named(self.client_certificate) {
                Some(Some(certificate)) => Some(Some(client_identity(&certificate, certificates)?)),
                other => other.map(|_| None),
            },
            ca: match named(self.ca) {
                Some(Some(pem)) => Some(Some(authorities(pem, certificates)?)),
                other => other,
            },
            maintenance: or_default(self.maintenance, Vec::new()).map(|windows| maintenance(&windows)).transpose()?,
        })
    }
}

fn signing(json: SigningJson) -> Result<SigningStyle, Problem> {
    if let SigningJson::Hmac { header, .. } = &json {
        check_signature_header(header)
            .map_err(|refused| Problem::field("/signing/hmac/header", refused.to_string()))?;
    }
    Ok(json.into())
}

fn max_payload_bytes(bytes: u32) -> Result<u32, Problem> {
    let most = u32::try_from(MAX_BODY_BYTES).unwrap_or(u32::MAX);
    if (MIN_PAYLOAD_LIMIT_BYTES..=most).contains(&bytes) {
        return Ok(bytes);
    }
    Err(Problem::field("/max_payload_bytes", format!("must be {MIN_PAYLOAD_LIMIT_BYTES} to {most} bytes")))
}

fn headers(json: BTreeMap<String, Option<SecretJson>>) -> Result<BTreeMap<String, Option<SecretText>>, Problem> {
    let mut seen = HashSet::with_capacity(json.len());
    let mut checked = BTreeMap::new();
    for (name, value) in json {
        let field = || format!("/headers/{}", escaped(&name));
        // The name of one that is kept or removed is checked too: it can't be one that is there.
        let to_check = value.as_ref().map_or("", |value| value.0.reveal());
        check_custom_header(&name, to_check).map_err(|refused| Problem::field(field(), refused.to_string()))?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(Problem::field(field(), "is given twice: names are the same in any case"));
        }
        checked.insert(name, value.map(|value| value.0));
    }
    Ok(checked)
}

fn client_identity(input: &ClientCertificate, check: CertificateCheck) -> Result<SecretText, Problem> {
    pem_length("/client_certificate/certificate", &input.certificate)?;
    pem_length("/client_certificate/private_key", input.private_key.0.reveal())?;
    let identity = SecretText::new(format!("{}\n{}", input.certificate, input.private_key.0.reveal()));
    check(Some(identity.reveal().as_bytes()), None).map_err(|error| Problem::field("/client_certificate", error))?;
    Ok(identity)
}

fn authorities(pem: String, check: CertificateCheck) -> Result<String, Problem> {
    pem_length("/ca", &pem)?;
    // What is here is shown in answers.
    if pem.contains("PRIVATE KEY") {
        return Err(Problem::field("/ca", "has a private key in it: give certificates only"));
    }
    check(None, Some(pem.as_bytes())).map_err(|error| Problem::field("/ca", error))?;
    Ok(pem)
}

fn pem_length(field: &str, pem: &str) -> Result<(), Problem> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(Problem::field(field, format!("is over {MAX_PEM_BYTES} bytes")));
    }
    Ok(())
}

fn maintenance(windows: &[MaintenanceJson]) -> Result<Vec<MaintenanceWindow>, Problem> {
    if windows.len() > MAX_MAINTENANCE_WINDOWS {
        let detail = format!("has {} windows, at most {MAX_MAINTENANCE_WINDOWS} are allowed", windows.len());
        return Err(Problem::field("/maintenance", detail));
    }
    windows.iter().enumerate().map(|(index, window)| maintenance_window(index, window)).collect()
}

fn maintenance_window(index: usize, window: &MaintenanceJson) -> Result<MaintenanceWindow, Problem> {
    let MaintenanceJson { from: Time(from), until: Time(until), every_seconds } = *window;
    let refused = |field: &str, detail: &str| Err(Problem::field(format!("/maintenance/{index}/{field}"), detail));
    if until <= from {
        return refused("until", "must be after 'from'");
    }
    if every_seconds.is_some_and(|seconds| u128::from(seconds) * 1_000 < until.since(from).as_millis()) {
        return refused("every_seconds", "must be at least as long as the window");
    }
    Ok(MaintenanceWindow { from, until, every_seconds })
}

/// The settings within an endpoint's answer.
#[derive(Debug, Object)]
pub(super) struct Settings {
    /// Whether it was paused: what comes for it is held until it is resumed.
    paused: bool,
    /// What was matched before this was skipped when the endpoint was resumed.
    skip_before: Option<Time>,
    /// When nothing is sent.
    maintenance: Vec<MaintenanceJson>,
    /// How many deliveries it takes; null: as many as it answers.
    rate_limit: Option<RateLimitJson>,
    /// Whether deliveries of one ordering key are sent in order; null: they are not.
    ordering: Option<OrderingJson>,
    /// How requests are signed.
    signing: SigningJson,
    /// What the body is.
    body: BodyJson,
    /// The largest body that is sent to it, in bytes; null: as large as any is.
    max_payload_bytes: Option<u32>,
    /// Headers that are sent with every request. Their values are not shown: each is `********`.
    headers: BTreeMap<String, String>,
    /// Whether it has a client certificate, which is not shown.
    client_certificate_set: bool,
    /// Certificate authorities that are trusted instead of the deployment's: PEM.
    ca: Option<String>,
}

impl From<EndpointSettings> for Settings {
    fn from(settings: EndpointSettings) -> Self {
        Self {
            paused: settings.paused,
            skip_before: settings.skip_before.map(Time),
            maintenance: settings.maintenance.iter().map(Into::into).collect(),
            rate_limit: settings.rate_limit.map(RateLimitJson),
            ordering: settings.ordering.map(OrderingJson),
            signing: settings.signing.into(),
            body: BodyJson(settings.body),
            max_payload_bytes: settings.max_payload_bytes,
            headers: settings.headers.into_iter().map(|header| (header.name, REDACTED.to_owned())).collect(),
            client_certificate_set: settings.client_identity.is_some(),
            ca: settings.ca,
        }
    }
}

impl Settings {
    /// The settings of an example.
    pub(super) fn example() -> Self {
        let limit = RateLimit::new(Some(10), None, Some(20)).expect("the limits allow it");
        Self { rate_limit: Some(RateLimitJson(limit)), ..Self::from(EndpointSettings::default()) }
    }
}
