//! The keys that requests are signed with.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use ed25519_dalek::{SECRET_KEY_LENGTH, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

/// What the text of a symmetric secret starts with.
pub const SECRET_PREFIX: &str = "whsec_";
/// What the text of an ed25519 private key starts with.
pub const PRIVATE_KEY_PREFIX: &str = "whsk_";
/// What the text of an ed25519 public key starts with.
pub const PUBLIC_KEY_PREFIX: &str = "whpk_";

/// The lengths of a symmetric key that the specification allows, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The length of a key that Postrider makes, in bytes.
const GENERATED_KEY_BYTES: usize = 32;
/// The length of a private key that is followed by its public key, in bytes.
const KEY_PAIR_BYTES: usize = 64;

/// Padding is optional: secrets are copied by hand.
pub(super) const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key to sign with. Its memory is wiped when it is dropped, and `Debug` hides it.
#[derive(Clone)]
pub struct SigningSecret(pub(super) Key);

/// What kind of key it is.
#[derive(Clone)]
pub(super) enum Key {
    /// Shared with the receiver: HMAC-SHA256, version `v1`.
    Symmetric(Zeroizing<Vec<u8>>),
    /// Ours alone; the receiver has its public half: ed25519, version `v1a`.
    Ed25519(Box<SigningKey>),
}

/// Why a text is not a signing secret. Never shows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It starts with neither prefix.
    #[error(
        "a signing secret starts with '{SECRET_PREFIX}' or '{PRIVATE_KEY_PREFIX}' (ed25519), followed by the key in base64"
    )]
    Prefix,
    /// The rest is not base64.
    #[error("the part of the signing secret after its prefix is not base64: copy it whole")]
    Encoding,
    /// The symmetric key is too short or too long.
    #[error("the signing secret's key has {0} bytes: use 24 to 64")]
    Length(usize),
    /// The private key is neither a seed nor a pair.
    #[error("the ed25519 private key has {0} bytes: use the 32 of the seed, or the 64 of seed and public key")]
    PrivateKeyLength(usize),
    /// The public key behind the seed is another's.
    #[error("the ed25519 public key that follows the private key does not belong to it: copy both from one pair")]
    Mismatch,
}

impl SigningSecret {
    /// A new symmetric secret with a key of 32 random bytes.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new(vec![0; GENERATED_KEY_BYTES]);
        rng.fill_bytes(&mut key);
        Self(Key::Symmetric(key))
    }

    /// A new ed25519 key.
    pub fn generate_ed25519(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; SECRET_KEY_LENGTH]);
        rng.fill_bytes(&mut *seed);
        Self(Key::Ed25519(Box::new(SigningKey::from_bytes(&seed))))
    }

    /// Parses `whsec_<base64>` of 24 to 64 bytes, or `whsk_<base64>` of an ed25519 seed (32 bytes) or of a seed and
    /// its public key (64 bytes).
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        if let Some(encoded) = text.strip_prefix(SECRET_PREFIX) {
            let key = decode(encoded)?;
            return if KEY_BYTES.contains(&key.len()) {
                Ok(Self(Key::Symmetric(key)))
            } else {
                Err(InvalidSecret::Length(key.len()))
            };
        }
        let encoded = text.strip_prefix(PRIVATE_KEY_PREFIX).ok_or(InvalidSecret::Prefix)?;
        let bytes = decode(encoded)?;
        let key = match bytes.len() {
            SECRET_KEY_LENGTH => SigningKey::try_from(bytes.as_slice()),
            KEY_PAIR_BYTES => {
                let pair: &[u8; KEY_PAIR_BYTES] = bytes.as_slice().try_into().expect("its length was just compared");
                SigningKey::from_keypair_bytes(pair)
            }
            other => return Err(InvalidSecret::PrivateKeyLength(other)),
        };
        key.map(|key| Self(Key::Ed25519(Box::new(key)))).map_err(|_| InvalidSecret::Mismatch)
    }

    /// Its text, as its owner is shown it: `whsec_<base64>`, or `whsk_<base64>` of the seed.
    pub fn to_text(&self) -> Zeroizing<String> {
        let (prefix, key): (_, &[u8]) = match &self.0 {
            Key::Symmetric(key) => (SECRET_PREFIX, key),
            Key::Ed25519(key) => (PRIVATE_KEY_PREFIX, key.as_bytes()),
        };
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + key.len() * 4 / 3 + 4));
        text.push_str(prefix);
        STANDARD.encode_string(key, &mut text);
        text
    }

    /// What receivers verify with, as `whpk_<base64>`; none for a symmetric secret, which they share.
    pub fn public_text(&self) -> Option<String> {
        match &self.0 {
            Key::Symmetric(_) => None,
            Key::Ed25519(key) => {
                Some(format!("{PUBLIC_KEY_PREFIX}{}", STANDARD.encode(key.verifying_key().as_bytes())))
            }
        }
    }

    /// The HMAC-SHA256 of `parts` one behind the other; none for an ed25519 key.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let Key::Symmetric(key) = &self.0 else { return None };
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        Some(mac.finalize().into_bytes().into())
    }
}

fn decode(encoded: &str) -> Result<Zeroizing<Vec<u8>>, InvalidSecret> {
    LENIENT_BASE64.decode(encoded).map(Zeroizing::new).map_err(|_| InvalidSecret::Encoding)
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    // RFC 8032, 7.1, test 1.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn private(bytes: &[u8]) -> String {
        format!("{PRIVATE_KEY_PREFIX}{}", STANDARD.encode(bytes))
    }

    #[test]
    fn secrets_survive_their_text_and_hide_from_debug() {
        let generated = SigningSecret::generate(&mut StdRng::seed_from_u64(3));
        let asymmetric = SigningSecret::parse(&private(&[7; 32])).unwrap();
        for secret in [generated, asymmetric] {
            let text = secret.to_text();
            assert_eq!(*SigningSecret::parse(&text).unwrap().to_text(), *text);
            let debug = format!("{secret:?}");
            assert!(!debug.contains(&text[SECRET_PREFIX.len()..]), "{debug}");
        }
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(*SigningSecret::parse(text).unwrap().to_text(), text);
    }

    #[test]
    fn an_ed25519_key_is_a_seed_or_a_pair() {
        let (seed, public) = (hex::decode(SEED).unwrap(), hex::decode(PUBLIC).unwrap());
        let pair = [seed.as_slice(), &public].concat();
        for text in [private(&seed), private(&pair), private(&seed).trim_end_matches('=').to_owned()] {
            let secret = SigningSecret::parse(&text).unwrap();
            assert_eq!(secret.public_text().unwrap(), format!("{PUBLIC_KEY_PREFIX}{}", STANDARD.encode(&public)));
            assert_eq!(*secret.to_text(), private(&seed));
        }
        assert_eq!(SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap().public_text(), None);
    }

    #[test]
    fn what_is_not_a_secret_is_refused_without_showing_it() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let table = [
            ("", InvalidSecret::Prefix),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", InvalidSecret::Prefix),
            ("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", InvalidSecret::Prefix),
            ("whsec_not base64!", InvalidSecret::Encoding),
            ("whsk_not base64!", InvalidSecret::Encoding),
            (&short, InvalidSecret::Length(23)),
            (&long, InvalidSecret::Length(65)),
            (&private(&[7; 31]), InvalidSecret::PrivateKeyLength(31)),
            (&private(&[7; 64]), InvalidSecret::Mismatch),
        ];
        for (text, wanted) in table {
            assert_eq!(SigningSecret::parse(text).unwrap_err(), wanted, "{text}");
        }
    }
}
