//! Sealing of secrets at rest and in transit: XChaCha20-Poly1305 with a key ring.
//!
//! An envelope is, in this order: format (1 byte, 1), length of the key's id (1 byte), the key's id, the version
//! (8 bytes, big endian), the nonce (24 random bytes), ciphertext with tag. Associated data: the key's id, tenant,
//! entity, purpose and version, each length-prefixed, so that an envelope opens only where it was sealed.
//! The key of the ring itself is never used: one key for sealing and one per purpose for hashing are derived
//! from it (HMAC-SHA256 over a label).

mod hash;
mod ring;
mod sealed;

pub use hash::KeyedHash;
pub use ring::{InvalidKeyRing, KeyRing, OpenError, SealedAt};
pub use sealed::{InvalidSealed, Sealed};
pub use zeroize::Zeroizing;
