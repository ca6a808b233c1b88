//! Sealing of secrets at rest and in transit: XChaCha20-Poly1305 with a key ring.
//!
//! Associated data: tenant, entity, purpose and version, each length-prefixed. The key's id, the version and
//! the nonce stand in front of the ciphertext.

use serde::{Deserialize, Serialize};

/// A sealed value: safe to store and to log. In JSON base64; in Avro bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);
