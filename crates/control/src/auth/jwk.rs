//! Public keys of an issuer (RFC 7517), and what they say of a token's signature (RFC 7515, 7518).
//!
//! Asymmetric algorithms only, and each only with a key of its kind: a token can't choose to be checked in a way that
//! its issuer never meant.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;

/// The most keys of one issuer that are looked at.
const MAX_KEYS: usize = 100;

/// The keys of an issuer, by id.
#[derive(Debug, Default)]
pub struct KeySet(HashMap<String, PublicKey>);

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySetJson {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct KeyJson {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JWKS document. Keys of other kinds, or for other purposes, are left out.
    pub fn parse(json: &str) -> Result<Self, String> {
        let set: KeySetJson = serde_json::from_str(json).map_err(|error| format!("it is no key set: {error}"))?;
        let keys = set.keys.into_iter().take(MAX_KEYS).filter_map(|key| {
            let key: KeyJson = serde_json::from_value(key).ok()?;
            let for_signatures = key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
            let id = key.kid.clone().unwrap_or_default();
            for_signatures.then(|| PublicKey::of(&key)).flatten().map(|key| (id, key))
        });
        Ok(Self(keys.collect()))
    }

    /// Whether there is a key of this id; a token that names none goes with the only key.
    pub fn has(&self, id: Option<&str>) -> bool {
        self.find(id).is_some()
    }

    /// Whether the key of this id signed `message`, by the algorithm `name`.
    pub fn verifies(&self, id: Option<&str>, name: &str, message: &[u8], signature: &[u8]) -> bool {
        self.find(id).is_some_and(|key| key.verifies(name, message, signature))
    }

    fn find(&self, id: Option<&str>) -> Option<&PublicKey> {
        match id {
            Some(id) => self.0.get(id),
            None => self.0.values().next().filter(|_| self.0.len() == 1),
        }
    }
}

impl PublicKey {
    fn of(json: &KeyJson) -> Option<Self> {
        let bytes = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        // An uncompressed point of a curve (SEC 1, 2.3.3).
        let point = |length: usize| {
            let (x, y) = (bytes(&json.x)?, bytes(&json.y)?);
            (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
        };
        match (json.kty.as_str(), json.crv.as_deref()) {
            ("RSA", _) => Some(Self::Rsa { n: bytes(&json.n)?, e: bytes(&json.e)? }),
            ("EC", Some("P-256")) => point(32).map(Self::P256),
            ("EC", Some("P-384")) => point(48).map(Self::P384),
            ("OKP", Some("Ed25519")) => bytes(&json.x).filter(|x| x.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }

    fn verifies(&self, name: &str, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters| match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok(),
            _ => false,
        };
        let curve = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
        };
        match (name, self) {
            ("RS256", _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            ("RS384", _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            ("RS512", _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            ("PS256", _) => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            ("PS384", _) => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            ("PS512", _) => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            ("ES256", Self::P256(point)) => curve(&signature::ECDSA_P256_SHA256_FIXED, point),
            ("ES384", Self::P384(point)) => curve(&signature::ECDSA_P384_SHA384_FIXED, point),
            ("EdDSA" | "Ed25519", Self::Ed25519(key)) => curve(&signature::ED25519, key),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7515, appendix A.2 (RS256) and A.3 (ES256): keys, and signatures of `header.payload`.
    const RSA: &str = r#"{"kty":"RSA","kid":"rsa","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
    const EC: &str = r#"{"kty":"EC","kid":"ec","use":"sig","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const PAYLOAD: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const EC_SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn keys() -> KeySet {
        let unknown = r#"{"kty":"oct","kid":"hmac","k":"c2VjcmV0"},{"kty":"EC","crv":"P-256","use":"enc"},17"#;
        KeySet::parse(&format!(r#"{{"keys":[{RSA},{EC},{unknown}]}}"#)).unwrap()
    }

    fn verifies(keys: &KeySet, id: Option<&str>, name: &str, header: &str, signature: &str) -> bool {
        let header = BASE64_URL_SAFE_NO_PAD.encode(header);
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        keys.verifies(id, name, format!("{header}.{PAYLOAD}").as_bytes(), &signature)
    }

    #[test]
    fn the_examples_of_the_rfc_verify_and_nothing_else_does() {
        let keys = keys();
        let (rsa, ec) = (r#"{"alg":"RS256"}"#, r#"{"alg":"ES256"}"#);
        assert!(verifies(&keys, Some("rsa"), "RS256", rsa, RSA_SIGNATURE));
        assert!(verifies(&keys, Some("ec"), "ES256", ec, EC_SIGNATURE));
        for (id, name, header, signature) in [
            (Some("rsa"), "RS256", ec, RSA_SIGNATURE),
            (Some("rsa"), "RS384", rsa, RSA_SIGNATURE),
            (Some("rsa"), "PS256", rsa, RSA_SIGNATURE),
            (Some("ec"), "RS256", rsa, RSA_SIGNATURE),
            (Some("rsa"), "HS256", rsa, RSA_SIGNATURE),
            (Some("rsa"), "none", rsa, ""),
            (Some("hmac"), "HS256", rsa, RSA_SIGNATURE),
            (Some("gone"), "RS256", rsa, RSA_SIGNATURE),
            (None, "RS256", rsa, RSA_SIGNATURE),
            (Some("ec"), "ES256", ec, RSA_SIGNATURE),
        ] {
            assert!(!verifies(&keys, id, name, header, signature), "{id:?} {name}");
        }
    }

    #[test]
    fn a_token_without_a_key_id_goes_with_the_only_key() {
        let only = KeySet::parse(&format!(r#"{{"keys":[{RSA}]}}"#)).unwrap();
        assert!(verifies(&only, None, "RS256", r#"{"alg":"RS256"}"#, RSA_SIGNATURE));
        assert!(only.has(None) && only.has(Some("rsa")) && !only.has(Some("ec")));
        assert!(KeySet::parse("[]").is_err());
    }
}
