use std::{collections::HashMap, time::Duration};

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::signing::{VerifyError, verify, verify_hmac, verify_x_webhook};

const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_123);
const TOLERANCE: Duration = Duration::from_mins(5);
const BODY: &[u8] = b"{\"test\": 2432232314}";

/// 32 bytes of 0x61 ('a').
fn known() -> SigningSecret {
    SigningSecret::parse("whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=").unwrap()
}

fn other() -> SigningSecret {
    SigningSecret::generate(&mut StdRng::seed_from_u64(1))
}

fn ed25519() -> SigningSecret {
    SigningSecret::parse("whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap()
}

fn sign(style: &SigningStyle, secrets: &[SigningSecret]) -> Result<HashMap<String, String>, NothingToSignWith> {
    let parts = SignedParts {
        message_id: &MessageId::from_trusted("msg_1"),
        endpoint_id: &EndpointId::from_trusted("ep_1"),
        now: NOW,
        body: BODY,
    };
    let headers = signed_headers(style, secrets, parts)?;
    Ok(headers.into_iter().map(|(name, value)| (name.into_owned(), value)).collect())
}

fn hmac(header: &str, encoding: HmacEncoding) -> SigningStyle {
    SigningStyle::Hmac { header: header.to_owned(), encoding }
}

#[test]
fn the_standard_style_has_its_three_headers() {
    let secrets = [other(), ed25519(), known()];
    let headers = sign(&SigningStyle::Standard, &secrets).unwrap();
    assert_eq!((headers.len(), headers["webhook-id"].as_str()), (3, "msg_1"));
    assert_eq!(headers["webhook-timestamp"], "1614265330");
    for secret in secrets {
        let (at, signature) = (&headers["webhook-timestamp"], &headers["webhook-signature"]);
        assert_eq!(verify(&[secret], "msg_1", at, signature, BODY, NOW, TOLERANCE), Ok(()));
    }
}

#[test]
fn the_x_webhook_style_signs_its_iso_timestamp_and_the_body() {
    let headers = sign(&SigningStyle::XWebhook, &[known()]).unwrap();
    let wanted = [
        ("webhook-id", "msg_1"),
        ("x-webhook-id", "ep_1"),
        ("x-webhook-timestamp", "2021-02-25T15:02:10.123Z"),
        // printf '%s' '2021-02-25T15:02:10.123Z.{"test": 2432232314}' | openssl dgst -sha256 -hmac aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        ("x-webhook-signature", "v1=e479bbd3a53ff793c931ab6e9c63fb969308e9b3670dcac30ecb056316a95f35"),
        ("x-webhook-signature-timestamp", "1614265330"),
    ];
    assert_eq!(headers, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn the_x_webhook_style_signs_with_every_symmetric_key_of_a_rotation() {
    let headers = sign(&SigningStyle::XWebhook, &[other(), ed25519(), known()]).unwrap();
    let (at, signature) = (&headers["x-webhook-timestamp"], &headers["x-webhook-signature"]);
    assert_eq!(signature.split(',').count(), 2);
    for secret in [other(), known()] {
        let check =
            |at: &str, body, now| verify_x_webhook(std::slice::from_ref(&secret), at, signature, body, now, TOLERANCE);
        assert_eq!(check(at, BODY, NOW), Ok(()));
        assert_eq!(check(at, b"{}", NOW), Err(VerifyError::NoMatch));
        assert_eq!(check("2021-02-25T15:02:10.124Z", BODY, NOW), Err(VerifyError::NoMatch));
        assert_eq!(check(at, BODY, NOW + TOLERANCE * 2), Err(VerifyError::TooOld));
        assert_eq!(check(&headers["x-webhook-signature-timestamp"], BODY, NOW), Err(VerifyError::InvalidTimestamp));
    }
}

#[test]
fn the_plain_style_puts_the_newest_keys_code_of_the_body_into_the_users_header() {
    // printf '%s' '{"test": 2432232314}' | openssl dgst -sha256 -hmac aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    let code = "a635fd1f4e162f50fe08a582e884628292d9aa251ffdfe43c103192a9ae17366";
    let headers = sign(&hmac("X-Hub-Signature", HmacEncoding::Hex), &[ed25519(), known(), other()]).unwrap();
    assert_eq!(headers.len(), 2);
    assert_eq!((headers["webhook-id"].as_str(), headers["x-hub-signature"].as_str()), ("msg_1", code));
    let base64 = sign(&hmac("x-code", HmacEncoding::Base64), &[known()]).unwrap();
    assert_eq!(base64["x-code"], STANDARD.encode(hex::decode(code).unwrap()));
    assert_eq!(verify_hmac(&[known()], HmacEncoding::Hex, code, BODY), Ok(()));
    assert_eq!(verify_hmac(&[known()], HmacEncoding::Base64, &base64["x-code"], BODY), Ok(()));
    assert_eq!(verify_hmac(&[other()], HmacEncoding::Hex, code, BODY), Err(VerifyError::NoMatch));
    assert_eq!(verify_hmac(&[known()], HmacEncoding::Hex, "not hex", BODY), Err(VerifyError::NoSignature));
}

#[test]
fn nothing_goes_unsigned() {
    assert_eq!(sign(&SigningStyle::Standard, &[]), Err(NothingToSignWith));
    assert_eq!(sign(&SigningStyle::XWebhook, &[ed25519()]), Err(NothingToSignWith));
    assert_eq!(sign(&hmac("x-code", HmacEncoding::Hex), &[ed25519()]), Err(NothingToSignWith));
}

#[test]
fn an_attempt_is_numbered_and_remembers_the_first() {
    let headers = |attempt, first| attempt_headers(attempt, first).collect::<Vec<_>>();
    assert_eq!(headers(Attempt::FIRST, None), [("webhook-attempt".into(), "1".to_owned())]);
    let wanted = [
        ("webhook-attempt".into(), "2".to_owned()),
        ("webhook-first-attempt-at".into(), "2021-02-25T15:02:10.123Z".to_owned()),
    ];
    assert_eq!(headers(Attempt::FIRST.next(), Some(NOW)), wanted);
}
