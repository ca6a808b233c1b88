//! Standard Webhooks 1.0.0 signatures (`v1`, HMAC-SHA256).
//!
//! What is signed is `<webhook-id>.<webhook-timestamp>.<body>`; the header `webhook-signature` holds
//! `v1,<base64>` once per key, separated by spaces, so that receivers can change keys in their own time.

use std::{fmt, time::Duration};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::Timestamp;

/// What the text of a symmetric secret starts with.
pub const SECRET_PREFIX: &str = "whsec_";

/// The lengths of a key that the specification allows, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The length of a key that Postrider makes, in bytes.
const GENERATED_KEY_BYTES: usize = 32;
/// The version of a symmetric signature.
const VERSION: &str = "v1";

/// Padding is optional: secrets are copied by hand.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A symmetric signing secret. Its memory is wiped when it is dropped, and `Debug` hides it.
#[derive(Clone)]
pub struct SigningSecret(Zeroizing<Vec<u8>>);

/// Why a text is not a signing secret. Never shows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It does not start with `whsec_`.
    #[error("a signing secret starts with '{SECRET_PREFIX}', followed by the key in base64")]
    Prefix,
    /// The rest is not base64.
    #[error("the part of the signing secret after '{SECRET_PREFIX}' is not base64: copy it whole")]
    Encoding,
    /// The key is too short or too long.
    #[error("the signing secret's key has {0} bytes: use 24 to 64")]
    Length(usize),
}

/// Why a signature was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp header is not a number.
    #[error("the header webhook-timestamp is not a number of seconds since 1970")]
    InvalidTimestamp,
    /// Signed too long ago: perhaps a replayed message.
    #[error("the message was signed too long ago: check the receiver's clock, or it was sent again by someone else")]
    TooOld,
    /// Signed in the future.
    #[error("the message was signed in the future: check the receiver's clock")]
    TooNew,
    /// No signature of the version `v1` in the header.
    #[error("the header webhook-signature has no signature of the form 'v1,<base64>'")]
    NoSignature,
    /// None of the signatures is right.
    #[error("no signature matches: check the secret, and that the body is verified before it is parsed")]
    NoMatch,
}

impl SigningSecret {
    /// A new secret with a key of 32 random bytes.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new(vec![0; GENERATED_KEY_BYTES]);
        rng.fill_bytes(&mut key);
        Self(key)
    }

    /// Parses `whsec_<base64>` of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(InvalidSecret::Prefix)?;
        let key = Zeroizing::new(LENIENT_BASE64.decode(encoded).map_err(|_| InvalidSecret::Encoding)?);
        if KEY_BYTES.contains(&key.len()) { Ok(Self(key)) } else { Err(InvalidSecret::Length(key.len())) }
    }

    /// Its text, as its owner is shown it: `whsec_<base64>`.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + self.0.len() * 4 / 3 + 4));
        text.push_str(SECRET_PREFIX);
        STANDARD.encode_string(&*self.0, &mut text);
        text
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
    }
}

/// The value of `webhook-signature`: one signature per secret, in their order. `timestamp` is in Unix seconds,
/// as in the header `webhook-timestamp`.
pub fn signature_header(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| format!("{VERSION},{}", STANDARD.encode(secret.mac(id, &timestamp, body))))
        .collect();
    signatures.join(" ")
}

/// Verifies a message as a receiver does: a signature by any of `secrets`, made within `tolerance` of `now`.
/// Takes the same time whichever signature or byte is wrong.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    timestamp_header: &str,
    signature_header: &str,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    let seconds: i64 = timestamp_header.parse().map_err(|_| VerifyError::InvalidTimestamp)?;
    let signed_at = Timestamp::from_millis(seconds.saturating_mul(1_000));
    if now.since(signed_at) > tolerance {
        return Err(VerifyError::TooOld);
    }
    if signed_at.since(now) > tolerance {
        return Err(VerifyError::TooNew);
    }
    let given: Vec<Vec<u8>> = signature_header.split(' ').filter_map(decode_signature).collect();
    if given.is_empty() {
        return Err(VerifyError::NoSignature);
    }
    let mut matches = Choice::from(0);
    for secret in secrets {
        let expected = secret.mac(id, timestamp_header, body);
        for signature in &given {
            matches |= expected.ct_eq(signature);
        }
    }
    if matches.into() { Ok(()) } else { Err(VerifyError::NoMatch) }
}

/// The bytes of a `v1,<base64>`; none for other versions and what is not base64.
fn decode_signature(text: &str) -> Option<Vec<u8>> {
    let encoded = text.strip_prefix(VERSION)?.strip_prefix(',')?;
    LENIENT_BASE64.decode(encoded).ok()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        time::{SystemTime, UNIX_EPOCH},
    };

    use proptest::{collection::vec, prelude::*};
    use rand::{SeedableRng, rngs::StdRng};
    use standardwebhooks::Webhook;

    use super::*;

    // The specification's example.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: &str = "1614265330";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);
    const TOLERANCE: Duration = Duration::from_mins(5);

    fn secret() -> SigningSecret {
        SigningSecret::parse(SECRET).unwrap()
    }

    fn verify_at(now: Timestamp) -> Result<(), VerifyError> {
        verify(&[secret()], ID, AT, SIGNATURE, BODY, now, TOLERANCE)
    }

    #[test]
    fn the_specifications_example_comes_out() {
        assert_eq!(signature_header(&[secret()], ID, 1_614_265_330, BODY), SIGNATURE);
        assert_eq!(verify_at(NOW), Ok(()));
    }

    #[test]
    fn tampered_messages_are_refused() {
        let other = SigningSecret::generate(&mut StdRng::seed_from_u64(1));
        let check = |secret: &SigningSecret, id, at, signature, body| {
            verify(std::slice::from_ref(secret), id, at, signature, body, NOW, TOLERANCE)
        };
        let refused = [
            (check(&other, ID, AT, SIGNATURE, BODY), VerifyError::NoMatch),
            (check(&secret(), "msg_other", AT, SIGNATURE, BODY), VerifyError::NoMatch),
            (check(&secret(), ID, "1614265331", SIGNATURE, BODY), VerifyError::NoMatch),
            (check(&secret(), ID, AT, SIGNATURE, b"{\"test\": 2432232315}"), VerifyError::NoMatch),
            (check(&secret(), ID, AT, "v1,g0hM9SsE", BODY), VerifyError::NoMatch),
            (check(&secret(), ID, AT, &SIGNATURE.replace("v1,", "v1a,"), BODY), VerifyError::NoSignature),
            (check(&secret(), ID, AT, &SIGNATURE.replace("v1,", ""), BODY), VerifyError::NoSignature),
            (check(&secret(), ID, AT, "", BODY), VerifyError::NoSignature),
            (check(&secret(), ID, "now", SIGNATURE, BODY), VerifyError::InvalidTimestamp),
        ];
        for (index, (result, wanted)) in refused.into_iter().enumerate() {
            assert_eq!(result, Err(wanted), "variant {index}");
        }
    }

    #[test]
    fn a_message_is_accepted_within_the_tolerance_only() {
        assert_eq!(verify_at(NOW + TOLERANCE), Ok(()));
        assert_eq!(verify_at(NOW - TOLERANCE), Ok(()));
        assert_eq!(verify_at(NOW + TOLERANCE + Duration::from_millis(1)), Err(VerifyError::TooOld));
        assert_eq!(verify_at(NOW - TOLERANCE - Duration::from_millis(1)), Err(VerifyError::TooNew));
    }

    #[test]
    fn during_a_rotation_either_key_verifies() {
        let mut rng = StdRng::seed_from_u64(2);
        let keys = [SigningSecret::generate(&mut rng), secret()];
        let header = signature_header(&keys, ID, 1_614_265_330, BODY);
        assert_eq!(header.split(' ').count(), 2);
        for key in keys {
            assert_eq!(verify(&[key], ID, AT, &header, BODY, NOW, TOLERANCE), Ok(()));
        }
    }

    #[test]
    fn secrets_survive_their_text_and_hide_from_debug() {
        let generated = SigningSecret::generate(&mut StdRng::seed_from_u64(3));
        let text = generated.to_text();
        assert_eq!(SigningSecret::parse(&text).unwrap().0, generated.0);
        assert_eq!(*secret().to_text(), SECRET);
        assert!(!format!("{generated:?}").contains(&text[SECRET_PREFIX.len()..]));
    }

    #[test]
    fn what_is_not_a_secret_is_refused_without_showing_it() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let table = [
            ("", InvalidSecret::Prefix),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", InvalidSecret::Prefix),
            ("whsec_not base64!", InvalidSecret::Encoding),
            (&short, InvalidSecret::Length(23)),
            (&long, InvalidSecret::Length(65)),
        ];
        for (text, wanted) in table {
            assert_eq!(SigningSecret::parse(text).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the independent verifier compares with the real clock")]
    fn an_independent_verifier_accepts_what_is_signed_here() {
        let seconds = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let secret = SigningSecret::generate(&mut StdRng::seed_from_u64(4));
        let headers = HashMap::from([
            ("webhook-id".to_owned(), ID.to_owned()),
            ("webhook-timestamp".to_owned(), seconds.to_string()),
            ("webhook-signature".to_owned(), signature_header(&[self::secret(), secret.clone()], ID, seconds, BODY)),
        ]);
        let webhook = Webhook::new(&secret.to_text()).unwrap();
        webhook.verify(BODY, &(&headers).try_into().unwrap()).unwrap();
        assert!(webhook.verify(b"{}", &(&headers).try_into().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn signs_as_an_independent_implementation(
            key in vec(any::<u8>(), 24..=64), id in "[a-z_]{1,30}", seconds in 0..4_000_000_000i64, body in ".*",
        ) {
            let secret = SigningSecret(Zeroizing::new(key.clone()));
            let theirs = Webhook::from_bytes(key).unwrap().sign(&id, seconds, body.as_bytes()).unwrap();
            prop_assert_eq!(&signature_header(std::slice::from_ref(&secret), &id, seconds, body.as_bytes()), &theirs);
            let now = Timestamp::from_millis(seconds * 1_000);
            let verified = verify(&[secret], &id, &seconds.to_string(), &theirs, body.as_bytes(), now, TOLERANCE);
            prop_assert_eq!(verified, Ok(()));
        }
    }
}
