//! Sealing of secrets at rest and in transit.

use std::{fmt, sync::Arc};

use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use zeroize::Zeroizing;

use crate::{EntityId, TenantId};

/// A sealed value: safe to store and to log. In JSON base64; in Avro bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// What a value is sealed to.
#[derive(Debug, Clone, Copy)]
pub struct SealedAt<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The entity.
    pub entity: &'a EntityId,
    /// What the value is.
    pub purpose: &'a str,
    /// The version.
    pub version: i64,
}

/// The keys.
#[derive(Clone)]
pub struct KeyRing {
    keys: Arc<Vec<()>>,
}

/// Bad key ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyRing {
    /// No key.
    #[error("no key")]
    Empty,
}

/// Why a sealed value can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Corrupt.
    #[error("corrupt")]
    Corrupt,
}

/// Not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a sealed value")]
pub struct InvalidSealed;

/// A keyed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedHash {}

impl KeyRing {
    /// Parses a ring.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyRing> {
        todo!()
    }
    /// A new ring's text.
    pub fn generate_text(rng: &mut impl CryptoRng) -> Zeroizing<String> {
        todo!()
    }
    /// Seals.
    pub fn seal(&self, plaintext: &[u8], at: SealedAt<'_>, rng: &mut impl CryptoRng) -> Sealed {
        todo!()
    }
    /// Opens.
    pub fn open(
        &self,
        sealed: &Sealed,
        tenant: &TenantId,
        entity: &EntityId,
        purpose: &str,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        todo!()
    }
    /// Hashes.
    pub fn keyed_hash(&self, purpose: &str, data: &[u8]) -> KeyedHash {
        todo!()
    }
    /// Verifies.
    pub fn verify_keyed_hash(&self, purpose: &str, data: &[u8], hash: &KeyedHash) -> bool {
        todo!()
    }
}

impl KeyedHash {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// From bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        todo!()
    }
}

impl Sealed {
    /// The envelope.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// From an envelope.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidSealed> {
        Ok(Self(bytes))
    }
    /// The version.
    pub fn version(&self) -> i64 {
        todo!()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        todo!()
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        todo!()
    }
}
