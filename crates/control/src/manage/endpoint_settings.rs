//! Changes of what of an endpoint is usually left as it is.

use std::collections::BTreeMap;

use postrider_domain::{
    RateLimit,
    endpoint::{
        BodyStyle, CustomHeader, EndpointSettings, MaintenanceWindow, Ordering, SigningStyle, purpose::CLIENT_IDENTITY,
        purpose::HEADER,
    },
    seal::Sealed,
};
use serde_json::{Value, json};

use super::ManageError;
use crate::secret_text::{REDACTED, SecretText};

/// The most headers of one endpoint.
pub const MAX_HEADERS: usize = 20;

/// What of an endpoint's settings is to be changed, or to be other than the default in a new endpoint's.
#[derive(Debug, Default)]
pub struct SettingsPatch {
    /// How many deliveries it takes; `Some(None)` lifts the limit.
    pub rate_limit: Option<Option<RateLimit>>,
    /// Whether deliveries of one key are sent in order; `Some(None)` ends that.
    pub ordering: Option<Option<Ordering>>,
    /// How requests are signed.
    pub signing: Option<SigningStyle>,
    /// What the body is.
    pub body: Option<BodyStyle>,
    /// The largest body that is sent to it; `Some(None)`: as large as any is.
    pub max_payload_bytes: Option<Option<u32>>,
    /// Headers by name, each checked: a new value, or none to remove it. What is shown in the place of a value keeps
    /// it, and so does a name that is not here.
    pub headers: BTreeMap<String, Option<SecretText>>,
    /// Whether headers that are not named are removed.
    pub removes_other_headers: bool,
    /// A client certificate chain and its private key (PEM), checked; `Some(None)` removes them.
    pub client_identity: Option<Option<SecretText>>,
    /// Certificate authorities (PEM), checked; `Some(None)` removes them.
    pub ca: Option<Option<String>>,
    /// When nothing is sent.
    pub maintenance: Option<Vec<MaintenanceWindow>>,
}

impl SettingsPatch {
    /// The settings after the patch; `seal` seals what is secret, for a purpose.
    pub(super) fn apply(
        self,
        mut settings: EndpointSettings,
        mut seal: impl FnMut(&str, &[u8]) -> Sealed,
    ) -> Result<EndpointSettings, ManageError> {
        settings.rate_limit = self.rate_limit.unwrap_or(settings.rate_limit);
        settings.ordering = self.ordering.unwrap_or(settings.ordering);
        settings.signing = self.signing.unwrap_or(settings.signing);
        settings.body = self.body.unwrap_or(settings.body);
        settings.max_payload_bytes = self.max_payload_bytes.unwrap_or(settings.max_payload_bytes);
        settings.ca = self.ca.unwrap_or(settings.ca);
        settings.maintenance = self.maintenance.unwrap_or(settings.maintenance);
        if let Some(identity) = self.client_identity {
            settings.client_identity = identity.map(|pem| seal(CLIENT_IDENTITY, pem.reveal().as_bytes()));
        }
        if self.removes_other_headers {
            let named = |header: &CustomHeader| self.headers.keys().any(|name| name.eq_ignore_ascii_case(&header.name));
            settings.headers.retain(named);
        }
        for (name, value) in self.headers {
            change_header(&mut settings.headers, name, value, &mut seal)?;
        }
        check_headers(&settings)?;
        Ok(settings)
    }
}

fn change_header(
    headers: &mut Vec<CustomHeader>,
    name: String,
    value: Option<SecretText>,
    seal: &mut impl FnMut(&str, &[u8]) -> Sealed,
) -> Result<(), ManageError> {
    let present = headers.iter().position(|header| header.name.eq_ignore_ascii_case(&name));
    match (value, present) {
        (None, Some(index)) => {
            headers.remove(index);
        }
        (None, None) => {}
        (Some(value), present) if value.reveal() == REDACTED => {
            if present.is_none() {
                let message = format!("there is no header '{name}' whose value could be kept: give its value");
                return Err(ManageError::Setting { field: "/headers", message });
            }
        }
        (Some(value), present) => {
            let changed = CustomHeader { name, value: seal(HEADER, value.reveal().as_bytes()) };
            match present {
                Some(index) => headers[index] = changed,
                None => headers.push(changed),
            }
        }
    }
    Ok(())
}

/// What only shows when the change is seen together with what was there.
fn check_headers(settings: &EndpointSettings) -> Result<(), ManageError> {
    let refused = |message: String| Err(ManageError::Setting { field: "/headers", message });
    let count = settings.headers.len();
    if count > MAX_HEADERS {
        return refused(format!("the endpoint would have {count} headers, at most {MAX_HEADERS} are allowed"));
    }
    if let SigningStyle::Hmac { header: signature, .. } = &settings.signing
        && settings.headers.iter().any(|header| header.name.eq_ignore_ascii_case(signature))
    {
        return refused(format!("the header '{signature}' holds the signature: remove the other one"));
    }
    Ok(())
}

/// Settings in the audit log: what is secret is left out.
pub(super) fn audited(settings: &EndpointSettings) -> Value {
    json!({
        "paused": settings.paused,
        "skip_before": settings.skip_before,
        "maintenance": settings.maintenance,
        "rate_limit": settings.rate_limit,
        "ordering": settings.ordering,
        "signing": settings.signing,
        "body": settings.body,
        "max_payload_bytes": settings.max_payload_bytes,
        "headers": settings.headers.iter().map(|header| header.name.as_str()).collect::<Vec<_>>(),
        "client_certificate_set": settings.client_identity.is_some(),
        "ca": settings.ca,
    })
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        EndpointId, EntityId, TenantId,
        endpoint::HmacEncoding,
        seal::{KeyRing, SealedAt},
    };
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn applied(patch: SettingsPatch, settings: EndpointSettings) -> Result<EndpointSettings, ManageError> {
        let rng = &mut StdRng::seed_from_u64(7);
        let key_ring = KeyRing::parse(&KeyRing::generate_text(rng)).expect("a generated ring parses");
        let (tenant, entity) = (TenantId::from_trusted("ten_1"), EntityId::from(&EndpointId::from_trusted("ep_1")));
        patch.apply(settings, |purpose, text| {
            key_ring.seal(text, SealedAt { tenant: &tenant, entity: &entity, purpose, version: 1 }, rng)
        })
    }

    fn headers(values: &[(&str, Option<&str>)]) -> SettingsPatch {
        let headers = values.iter().map(|(name, value)| ((*name).to_owned(), value.map(SecretText::new))).collect();
        SettingsPatch { headers, ..SettingsPatch::default() }
    }

    fn names(settings: &EndpointSettings) -> Vec<&str> {
        settings.headers.iter().map(|header| header.name.as_str()).collect()
    }

    #[test]
    fn headers_are_added_replaced_kept_and_removed_by_name_in_any_case() {
        let first = applied(headers(&[("X-A", Some("1")), ("X-B", Some("2"))]), EndpointSettings::default()).unwrap();
        assert_eq!(names(&first), ["X-A", "X-B"]);
        let kept = applied(headers(&[("x-a", Some(REDACTED))]), first.clone()).unwrap();
        assert_eq!(kept, first);
        let changed = applied(headers(&[("x-a", Some("3")), ("x-b", None), ("X-C", None)]), first.clone()).unwrap();
        assert_eq!(names(&changed), ["x-a"]);
        assert_ne!(changed.headers[0].value, first.headers[0].value);
        assert!(applied(headers(&[("X-C", Some(REDACTED))]), first).is_err(), "there is nothing to keep");
    }

    #[test]
    fn the_headers_of_one_endpoint_are_counted_over_its_changes() {
        let numbered = |numbers: std::ops::Range<usize>| SettingsPatch {
            headers: numbers.map(|number| (format!("X-{number}"), Some(SecretText::new("x")))).collect(),
            ..SettingsPatch::default()
        };
        let full = applied(numbered(0..MAX_HEADERS), EndpointSettings::default()).unwrap();
        assert!(applied(numbered(MAX_HEADERS..MAX_HEADERS + 1), full.clone()).is_err());
        assert!(applied(numbered(0..1), full).is_ok(), "a new value of an old one is no new one");
    }

    #[test]
    fn a_header_that_holds_the_signature_holds_nothing_else() {
        let with_header = applied(headers(&[("X-Signature", Some("1"))]), EndpointSettings::default()).unwrap();
        let signing = SigningStyle::Hmac { header: "x-signature".to_owned(), encoding: HmacEncoding::Hex };
        let patch = SettingsPatch { signing: Some(signing), ..SettingsPatch::default() };
        assert!(matches!(applied(patch, with_header), Err(ManageError::Setting { field: "/headers", .. })));
    }

    #[test]
    fn the_audit_log_names_secrets_and_shows_none() {
        let patch = SettingsPatch {
            client_identity: Some(Some(SecretText::new("-----BEGIN PRIVATE KEY-----"))),
            ..headers(&[("X-Token", Some("s3cret"))])
        };
        let settings = applied(patch, EndpointSettings::default()).unwrap();
        let audited = audited(&settings).to_string();
        assert!(audited.contains("X-Token") && audited.contains("\"client_certificate_set\":true"), "{audited}");
        for sealed in [&settings.headers[0].value, settings.client_identity.as_ref().expect("it was set")] {
            let sealed = serde_json::to_string(sealed).unwrap();
            assert!(!audited.contains(sealed.trim_matches('"')), "{audited}");
        }
        assert!(!audited.contains("s3cret") && !audited.contains("PRIVATE"), "{audited}");
    }
}
