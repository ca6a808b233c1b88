//! The envelope of a sealed value.

use std::{fmt, ops::Range, str};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const FORMAT: u8 = 1;
const VERSION_BYTES: usize = 8;
pub(super) const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// A sealed value: safe to store and to log. In human-readable formats base64, in others bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(Vec<u8>);

/// Bytes that are not a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a sealed value: they were cut off, or written by something else")]
pub struct InvalidSealed;

impl Sealed {
    /// The envelope, whole.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes an envelope that was stored. Checks its shape; whether it is genuine shows when it is opened.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidSealed> {
        let [FORMAT, id_length, rest @ ..] = bytes.as_slice() else { return Err(InvalidSealed) };
        let id = rest.get(..usize::from(*id_length)).ok_or(InvalidSealed)?;
        let is_whole = rest.len() >= id.len() + VERSION_BYTES + NONCE_BYTES + TAG_BYTES;
        if is_whole && str::from_utf8(id).is_ok() { Ok(Self(bytes)) } else { Err(InvalidSealed) }
    }

    /// The version that it was sealed at. Authenticated, but only once it is opened.
    pub fn version(&self) -> i64 {
        let bytes = self.part(0..VERSION_BYTES).try_into().expect("the shape was checked");
        i64::from_be_bytes(bytes)
    }

    /// The id of the key that sealed it.
    pub fn key_id(&self) -> &str {
        str::from_utf8(&self.0[2..self.id_end()]).expect("the shape was checked")
    }

    pub(super) fn assemble(key_id: &str, version: i64, nonce: &[u8; NONCE_BYTES], ciphertext: &[u8]) -> Self {
        let id_length = u8::try_from(key_id.len()).expect("key ids are short");
        Self([&[FORMAT, id_length], key_id.as_bytes(), &version.to_be_bytes(), nonce, ciphertext].concat())
    }

    pub(super) fn nonce(&self) -> [u8; NONCE_BYTES] {
        self.part(VERSION_BYTES..VERSION_BYTES + NONCE_BYTES).try_into().expect("the shape was checked")
    }

    pub(super) fn ciphertext(&self) -> &[u8] {
        &self.0[self.id_end() + VERSION_BYTES + NONCE_BYTES..]
    }

    /// A part behind the key's id.
    fn part(&self, range: Range<usize>) -> &[u8] {
        &self.0[self.id_end()..][range]
    }

    fn id_end(&self) -> usize {
        2 + usize::from(self.0[1])
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(key {}, version {}, {} bytes)", self.key_id(), self.version(), self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(SealedVisitor)
        } else {
            deserializer.deserialize_byte_buf(SealedVisitor)
        }
    }
}

struct SealedVisitor;

impl de::Visitor<'_> for SealedVisitor {
    type Value = Sealed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sealed value, as base64 or bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Sealed, E> {
        let bytes = STANDARD.decode(text).map_err(|_| E::custom(InvalidSealed))?;
        Sealed::from_bytes(bytes).map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Sealed, E> {
        Sealed::from_bytes(bytes.to_vec()).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sealed() -> Sealed {
        Sealed::assemble("k1", -7, &[9; NONCE_BYTES], &[1; TAG_BYTES])
    }

    #[test]
    fn the_parts_come_back() {
        let sealed = Sealed::from_bytes(sealed().as_bytes().to_vec()).unwrap();
        assert_eq!((sealed.key_id(), sealed.version(), sealed.nonce()), ("k1", -7, [9; NONCE_BYTES]));
        assert_eq!(sealed.ciphertext(), [1; TAG_BYTES]);
    }

    #[test]
    fn json_is_base64_and_round_trips() {
        let json = serde_json::to_string(&sealed()).unwrap();
        assert!(json.starts_with('"'));
        assert_eq!(serde_json::from_str::<Sealed>(&json).unwrap(), sealed());
        assert!(serde_json::from_str::<Sealed>("\"AAAA\"").is_err());
    }

    #[test]
    fn a_cut_or_foreign_envelope_is_refused() {
        let whole = sealed().as_bytes().to_vec();
        for length in 0..whole.len() {
            assert_eq!(Sealed::from_bytes(whole[..length].to_vec()), Err(InvalidSealed), "{length}");
        }
        let mut foreign = whole;
        foreign[0] = 2;
        assert_eq!(Sealed::from_bytes(foreign), Err(InvalidSealed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(sealed) = Sealed::from_bytes([&[FORMAT], bytes.as_slice()].concat()) {
                let _ = (format!("{sealed:?}"), sealed.nonce(), sealed.ciphertext());
            }
        }
    }
}
