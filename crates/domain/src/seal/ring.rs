//! The key ring: the deployment's master keys, the first of which seals.

use std::{collections::HashSet, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{KeyedHash, Sealed, sealed::NONCE_BYTES};
use crate::{EntityId, TenantId};

const KEY_BYTES: usize = 32;
const MAX_KEY_ID_LENGTH: usize = 32;
/// The id that a new ring's key is given.
const FIRST_KEY_ID: &str = "k1";

const SEALING_LABEL: &str = "postrider.seal.v1";
const HASHING_LABEL: &str = "postrider.keyed-hash.v1";

/// Master keys by id, the current one first. Clones share the keys; `Debug` shows their ids only.
#[derive(Clone)]
pub struct KeyRing {
    keys: Arc<[RingKey]>,
}

struct RingKey {
    id: String,
    master: Zeroizing<[u8; KEY_BYTES]>,
    cipher: XChaCha20Poly1305,
}

/// Where a value is sealed: it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct SealedAt<'a> {
    /// The tenant that owns the entity.
    pub tenant: &'a TenantId,
    /// The entity that the value is part of.
    pub entity: &'a EntityId,
    /// What the value is, as in [`crate::endpoint::purpose`].
    pub purpose: &'a str,
    /// The entity's version, to tell an old value from a newer one.
    pub version: i64,
}

/// Why a text is not a key ring. Never shows a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyRing {
    /// No entry at all.
    #[error(
        "the key ring is empty: give at least one 'id:base64-of-32-bytes', as from 'head -c 32 /dev/urandom | base64'"
    )]
    Empty,
    /// An entry without an id.
    #[error("entry {entry} of the key ring has no id: write it as 'id:base64-of-32-bytes'")]
    NoId {
        /// Which entry, from 1.
        entry: usize,
    },
    /// An id that is empty, too long, or has other characters than letters, digits, `_` and `-`.
    #[error("the id of entry {entry} of the key ring can't be used: use 1 to 32 letters, digits, '_' or '-'")]
    BadId {
        /// Which entry, from 1.
        entry: usize,
    },
    /// A key that is not base64.
    #[error("key '{id}' of the key ring is not base64: give 32 random bytes in standard base64 (44 characters)")]
    Encoding {
        /// The entry's id.
        id: String,
    },
    /// A key of another length than 32 bytes.
    #[error(
        "key '{id}' of the key ring has {length} bytes, and must have 32: make one with 'head -c 32 /dev/urandom | base64'"
    )]
    Length {
        /// The entry's id.
        id: String,
        /// How many bytes it has.
        length: usize,
    },
    /// Two keys with one id.
    #[error("key id '{id}' is there twice in the key ring: give each key an id of its own")]
    Duplicate {
        /// The id.
        id: String,
    },
}

/// Why a sealed value can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The key that sealed it is not in the ring.
    #[error("sealed with key '{id}', which is not in the key ring: add that key back behind the current one")]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// It was changed, belongs elsewhere, or another key has the id.
    #[error(
        "the sealed value is not genuine here: it was changed or moved, or key '{id}' is another key than the one that sealed it"
    )]
    NotGenuine {
        /// The key's id.
        id: String,
    },
}

impl KeyRing {
    /// Parses entries `id:base64-of-32-bytes`, separated by commas or new lines; the first is the current one.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyRing> {
        let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
        let keys =
            (1..).zip(entries).map(|(number, entry)| RingKey::parse(number, entry)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(InvalidKeyRing::Empty);
        }
        let mut ids = HashSet::new();
        if let Some(repeated) = keys.iter().find(|key| !ids.insert(&key.id)) {
            return Err(InvalidKeyRing::Duplicate { id: repeated.id.clone() });
        }
        Ok(Self { keys: keys.into() })
    }

    /// The text of a ring of one new key, `k1:<base64>`.
    pub fn generate_text(rng: &mut impl CryptoRng) -> Zeroizing<String> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(&mut *key);
        let mut text = Zeroizing::new(String::with_capacity(64));
        text.push_str(FIRST_KEY_ID);
        text.push(':');
        STANDARD.encode_string(*key, &mut text);
        text
    }

    /// Seals with the current key.
    pub fn seal(&self, plaintext: &[u8], at: SealedAt<'_>, rng: &mut impl CryptoRng) -> Sealed {
        let key = self.current();
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let payload = Payload { msg: plaintext, aad: &associated_data(&key.id, at) };
        let ciphertext = key.cipher.encrypt(&nonce.into(), payload).expect("the plaintext is far below 256 GiB");
        Sealed::assemble(&key.id, at.version, &nonce, &ciphertext)
    }

    /// Opens what was sealed for this tenant, entity and purpose, at whatever version the envelope says.
    pub fn open(
        &self,
        sealed: &Sealed,
        tenant: &TenantId,
        entity: &EntityId,
        purpose: &str,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let id = sealed.key_id();
        let key = self.find(id).ok_or_else(|| OpenError::UnknownKey { id: id.to_owned() })?;
        let at = SealedAt { tenant, entity, purpose, version: sealed.version() };
        let payload = Payload { msg: sealed.ciphertext(), aad: &associated_data(id, at) };
        let opened = key.cipher.decrypt(&sealed.nonce().into(), payload);
        opened.map(Zeroizing::new).map_err(|_| OpenError::NotGenuine { id: id.to_owned() })
    }

    /// Hashes with the current key, for one purpose.
    pub fn keyed_hash(&self, purpose: &str, data: &[u8]) -> KeyedHash {
        let key = self.current();
        KeyedHash::new(&key.id, key.hash(purpose, data))
    }

    /// Whether `hash` is that of `data` for the purpose, in constant time; false if its key is not in the ring.
    pub fn verify_keyed_hash(&self, purpose: &str, data: &[u8], hash: &KeyedHash) -> bool {
        self.find(hash.key_id()).is_some_and(|key| key.hash(purpose, data).ct_eq(hash.hash()).into())
    }

    fn current(&self) -> &RingKey {
        self.keys.first().expect("a ring has a key")
    }

    fn find(&self, id: &str) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl RingKey {
    /// Parses entry number `entry`.
    fn parse(entry: usize, text: &str) -> Result<Self, InvalidKeyRing> {
        let (id, encoded) = text.split_once(':').ok_or(InvalidKeyRing::NoId { entry })?;
        let (id, encoded) = (id.trim(), encoded.trim());
        let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if id.is_empty() || id.len() > MAX_KEY_ID_LENGTH || !id.bytes().all(is_id_byte) {
            return Err(InvalidKeyRing::BadId { entry });
        }
        let id = id.to_owned();
        let Ok(decoded) = STANDARD.decode(encoded).map(Zeroizing::new) else {
            return Err(InvalidKeyRing::Encoding { id });
        };
        let Ok(master) = <[u8; KEY_BYTES]>::try_from(decoded.as_slice()).map(Zeroizing::new) else {
            return Err(InvalidKeyRing::Length { id, length: decoded.len() });
        };
        let cipher = XChaCha20Poly1305::new(&derive(&master, &[SEALING_LABEL.as_bytes()]).into());
        Ok(Self { id, master, cipher })
    }

    fn hash(&self, purpose: &str, data: &[u8]) -> [u8; KEY_BYTES] {
        let key = Zeroizing::new(derive(&self.master, &[HASHING_LABEL.as_bytes(), purpose.as_bytes()]));
        derive(&key, &[data])
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// HMAC-SHA256 over the parts, each with its length in front.
fn derive(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&length_prefixed(parts));
    mac.finalize().into_bytes().into()
}

fn associated_data(key_id: &str, at: SealedAt<'_>) -> Vec<u8> {
    let version = at.version.to_be_bytes();
    let SealedAt { tenant, entity, purpose, .. } = at;
    length_prefixed(&[
        key_id.as_bytes(),
        tenant.as_str().as_bytes(),
        entity.as_str().as_bytes(),
        purpose.as_bytes(),
        &version,
    ])
}

fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes(), *part].concat()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn key(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; KEY_BYTES]))
    }

    fn ring(text: &str) -> KeyRing {
        KeyRing::parse(text).unwrap()
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn place() -> (TenantId, EntityId) {
        (TenantId::from_trusted("ten_1"), EntityId::from_trusted("ep_1"))
    }

    fn sealed_by(ring: &KeyRing, plaintext: &[u8]) -> Sealed {
        let (tenant, entity) = place();
        ring.seal(plaintext, SealedAt { tenant: &tenant, entity: &entity, purpose: "url", version: 3 }, &mut rng())
    }

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let ring = ring(&key("k1", 1));
        let sealed = sealed_by(&ring, b"https://example.com/hook");
        let (tenant, entity) = place();
        assert_eq!(sealed.version(), 3);
        assert_eq!(**ring.open(&sealed, &tenant, &entity, "url").unwrap(), *b"https://example.com/hook");
        let refused = Err(OpenError::NotGenuine { id: "k1".into() });
        assert_eq!(ring.open(&sealed, &TenantId::from_trusted("ten_2"), &entity, "url"), refused);
        assert_eq!(ring.open(&sealed, &tenant, &EntityId::from_trusted("ep_2"), "url"), refused);
        assert_eq!(ring.open(&sealed, &tenant, &entity, "secret"), refused);
    }

    #[test]
    fn no_byte_of_an_envelope_can_be_changed() {
        let ring = ring(&key("k1", 1));
        let whole = sealed_by(&ring, b"secret").as_bytes().to_vec();
        let (tenant, entity) = place();
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 1;
            let opened = Sealed::from_bytes(changed).map(|sealed| ring.open(&sealed, &tenant, &entity, "url").is_ok());
            assert_ne!(opened, Ok(true), "byte {index}");
        }
    }

    #[test]
    fn an_older_key_still_opens_and_verifies_but_no_longer_seals() {
        let old = ring(&key("k1", 1));
        let new = ring(&format!("{}\n{}", key("k2", 2), key("k1", 1)));
        let (tenant, entity) = place();
        let (sealed, hash) = (sealed_by(&old, b"x"), old.keyed_hash("api-key", b"x"));
        assert!(new.open(&sealed, &tenant, &entity, "url").is_ok());
        assert!(new.verify_keyed_hash("api-key", b"x", &hash));
        assert_eq!(sealed_by(&new, b"x").key_id(), "k2");
        let unknown = OpenError::UnknownKey { id: "k2".into() };
        assert_eq!(old.open(&sealed_by(&new, b"x"), &tenant, &entity, "url"), Err(unknown));
        assert!(!old.verify_keyed_hash("api-key", b"x", &new.keyed_hash("api-key", b"x")));
    }

    #[test]
    fn another_key_with_the_same_id_opens_nothing() {
        let (tenant, entity) = place();
        let opened = ring(&key("k1", 2)).open(&sealed_by(&ring(&key("k1", 1)), b"x"), &tenant, &entity, "url");
        assert_eq!(opened, Err(OpenError::NotGenuine { id: "k1".into() }));
    }

    #[test]
    fn keyed_hashes_depend_on_data_purpose_and_key() {
        let ring = ring(&key("k1", 1));
        let hash = ring.keyed_hash("api-key", b"secret");
        assert!(ring.verify_keyed_hash("api-key", b"secret", &hash));
        assert!(!ring.verify_keyed_hash("api-key", b"secret2", &hash));
        assert!(!ring.verify_keyed_hash("session", b"secret", &hash));
        assert!(!self::ring(&key("k1", 2)).verify_keyed_hash("api-key", b"secret", &hash));
    }

    #[test]
    fn bad_rings_are_refused_by_entry() {
        let short = format!("k1:{}", STANDARD.encode([1; 16]));
        let twice = format!("{},{}", key("k1", 1), key("k1", 2));
        let second = format!("{},nothing", key("k1", 1));
        let table = [
            ("", InvalidKeyRing::Empty),
            (" ,\n ", InvalidKeyRing::Empty),
            (&second, InvalidKeyRing::NoId { entry: 2 }),
            ("a b:AAAA", InvalidKeyRing::BadId { entry: 1 }),
            (":AAAA", InvalidKeyRing::BadId { entry: 1 }),
            ("k1:not base64", InvalidKeyRing::Encoding { id: "k1".into() }),
            ("k1:", InvalidKeyRing::Length { id: "k1".into(), length: 0 }),
            (&short, InvalidKeyRing::Length { id: "k1".into(), length: 16 }),
            (&twice, InvalidKeyRing::Duplicate { id: "k1".into() }),
        ];
        for (text, wanted) in table {
            assert_eq!(KeyRing::parse(text).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    fn a_generated_ring_parses_and_debug_hides_its_key() {
        let text = KeyRing::generate_text(&mut rng());
        assert_eq!(format!("{:?}", ring(&text)), "[\"k1\"]");
    }

    proptest! {
        #[test]
        fn anything_sealed_opens(plaintext in vec(any::<u8>(), 0..300), seed in any::<u64>(), version in any::<i64>()) {
            let ring = ring(&key("k1", 1));
            let (tenant, entity) = place();
            let at = SealedAt { tenant: &tenant, entity: &entity, purpose: "url", version };
            let sealed = ring.seal(&plaintext, at, &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(sealed.version(), version);
            prop_assert_eq!(&**ring.open(&sealed, &tenant, &entity, "url").unwrap(), &plaintext[..]);
        }
    }
}
