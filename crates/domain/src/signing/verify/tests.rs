use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng, rngs::StdRng};
use standardwebhooks::Webhook;

use super::*;
use crate::signing::signature_header;

// The specification's example.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: &str = "1614265330";
const BODY: &[u8] = b"{\"test\": 2432232314}";
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

// The same message, signed by an independent implementation with this key pair.
const PRIVATE_KEY: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC_KEY: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ED25519_SIGNATURE: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);
const TOLERANCE: Duration = Duration::from_mins(5);

fn secret() -> SigningSecret {
    SigningSecret::parse(SECRET).unwrap()
}

fn key_pair() -> SigningSecret {
    SigningSecret::parse(PRIVATE_KEY).unwrap()
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
fn an_independent_ed25519_signature_comes_out() {
    assert_eq!(key_pair().public_text().unwrap(), PUBLIC_KEY);
    assert_eq!(signature_header(&[key_pair()], ID, 1_614_265_330, BODY), ED25519_SIGNATURE);
    assert_eq!(verify(&[key_pair()], ID, AT, ED25519_SIGNATURE, BODY, NOW, TOLERANCE), Ok(()));
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
        (check(&key_pair(), ID, AT, ED25519_SIGNATURE, b"{}"), VerifyError::NoMatch),
        (check(&key_pair(), ID, "1614265331", ED25519_SIGNATURE, BODY), VerifyError::NoMatch),
        (check(&key_pair(), ID, AT, "v1a,g0hM9SsE", BODY), VerifyError::NoMatch),
        (check(&key_pair(), ID, AT, SIGNATURE, BODY), VerifyError::NoSignature),
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
fn during_a_rotation_any_of_the_keys_verifies() {
    let keys = [SigningSecret::generate(&mut StdRng::seed_from_u64(2)), key_pair(), secret()];
    let header = signature_header(&keys, ID, 1_614_265_330, BODY);
    let versions: Vec<_> = header.split(' ').map(|signature| signature.split(',').next().unwrap()).collect();
    assert_eq!(versions, ["v1", "v1a", "v1"]);
    for key in keys {
        assert_eq!(verify(&[key], ID, AT, &header, BODY, NOW, TOLERANCE), Ok(()));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the independent verifier compares with the real clock")]
fn an_independent_verifier_accepts_what_is_signed_here() {
    let seconds = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let secret = SigningSecret::generate(&mut StdRng::seed_from_u64(4));
    let keys = [self::secret(), key_pair(), secret.clone()];
    let headers = HashMap::from([
        ("webhook-id".to_owned(), ID.to_owned()),
        ("webhook-timestamp".to_owned(), seconds.to_string()),
        ("webhook-signature".to_owned(), signature_header(&keys, ID, seconds, BODY)),
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
        let secret = SigningSecret(Key::Symmetric(key.clone().into()));
        let theirs = Webhook::from_bytes(key).unwrap().sign(&id, seconds, body.as_bytes()).unwrap();
        prop_assert_eq!(&signature_header(std::slice::from_ref(&secret), &id, seconds, body.as_bytes()), &theirs);
        let now = Timestamp::from_millis(seconds * 1_000);
        let verified = verify(&[secret], &id, &seconds.to_string(), &theirs, body.as_bytes(), now, TOLERANCE);
        prop_assert_eq!(verified, Ok(()));
    }
}
