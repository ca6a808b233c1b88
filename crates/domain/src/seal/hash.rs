//! Keyed hashes: what is stored of a secret that is only ever compared.

use std::str;

const HASH_BYTES: usize = 32;

/// A hash that only the holder of the key ring can compute, and the id of the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyedHash {
    key_id: String,
    hash: [u8; HASH_BYTES],
}

impl KeyedHash {
    /// For storage: length of the key's id (1 byte), the key's id, the hash (32 bytes).
    pub fn to_bytes(&self) -> Vec<u8> {
        let id_length = u8::try_from(self.key_id.len()).expect("key ids are short");
        [&[id_length], self.key_id.as_bytes(), &self.hash].concat()
    }

    /// From what [`Self::to_bytes`] gave; none for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id_length, rest) = bytes.split_first()?;
        let (key_id, hash) = rest.split_at_checked(usize::from(*id_length))?;
        Some(Self { key_id: str::from_utf8(key_id).ok()?.to_owned(), hash: hash.try_into().ok()? })
    }

    pub(super) fn new(key_id: &str, hash: [u8; HASH_BYTES]) -> Self {
        Self { key_id: key_id.to_owned(), hash }
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) fn hash(&self) -> &[u8; HASH_BYTES] {
        &self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_and_other_bytes_are_refused() {
        let hash = KeyedHash::new("k1", [3; HASH_BYTES]);
        let bytes = hash.to_bytes();
        assert_eq!(KeyedHash::from_bytes(&bytes), Some(hash));
        assert_eq!(KeyedHash::from_bytes(&[]), None);
        assert_eq!(KeyedHash::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(KeyedHash::from_bytes(&[bytes.as_slice(), &[0]].concat()), None);
    }
}
