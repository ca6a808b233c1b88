//! Whether a key that was brought along can be guessed.

use super::{SigningSecret, secret::Key};

/// The least bits that a key must look like it has.
const MIN_BITS: f64 = 80.0;

/// Why a key is too weak. Never shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// The same bytes over and over.
    #[error("the secret's key repeats itself: use random bytes, as from 'head -c 32 /dev/urandom | base64'")]
    Repeats,
    /// Each byte is the one before plus a constant.
    #[error("the secret's key is a mere sequence: use random bytes, as from 'head -c 32 /dev/urandom | base64'")]
    Sequence,
    /// Too few different bytes.
    #[error(
        "the secret's key is easy to guess, it has too few different bytes: use random ones, as from 'head -c 32 \
         /dev/urandom | base64'"
    )]
    Uniform,
}

impl SigningSecret {
    /// Refuses a key that somebody made up. What a good source of randomness gives always passes; what passes may still
    /// be known to others.
    pub fn check_strength(&self) -> Result<(), WeakSecret> {
        let key: &[u8] = match &self.0 {
            Key::Symmetric(key) => key,
            Key::Ed25519(key) => key.as_bytes(),
        };
        if (1..=key.len() / 2).any(|period| key.iter().zip(&key[period..]).all(|(one, later)| one == later)) {
            return Err(WeakSecret::Repeats);
        }
        let step = |pair: &[u8]| pair[1].wrapping_sub(pair[0]);
        if key.windows(2).all(|pair| step(pair) == step(key)) {
            return Err(WeakSecret::Sequence);
        }
        if bits(key) < MIN_BITS { Err(WeakSecret::Uniform) } else { Ok(()) }
    }
}

/// The key's length times the entropy of its bytes, as often as each is there.
fn bits(key: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in key {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(key.len()).unwrap_or(u32::MAX));
    let used = counts.into_iter().filter(|count| *count > 0).map(f64::from);
    used.map(|count| count * (total / count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn check(key: &[u8]) -> Result<(), WeakSecret> {
        SigningSecret::parse(&format!("whsec_{}", STANDARD.encode(key))).expect("a secret").check_strength()
    }

    #[test]
    fn what_somebody_made_up_is_refused() {
        let sequence: Vec<u8> = (0..32).collect();
        let few: Vec<u8> = (0..48_u32).map(|n| if n.count_ones() % 2 == 0 { b'a' } else { b'b' }).collect();
        let table: [(&[u8], WeakSecret); 5] = [
            (&[7; 24], WeakSecret::Repeats),
            (b"passwordpasswordpassword", WeakSecret::Repeats),
            (b"0123456789012345678901234567", WeakSecret::Repeats),
            (&sequence, WeakSecret::Sequence),
            (&few, WeakSecret::Uniform),
        ];
        for (key, wanted) in table {
            assert_eq!(check(key), Err(wanted), "{key:?}");
        }
        let seed = format!("whsk_{}", STANDARD.encode([9; 32]));
        assert_eq!(SigningSecret::parse(&seed).unwrap().check_strength(), Err(WeakSecret::Repeats));
        assert_eq!(check(b"c91d0e83e5b8f7a4d26915f0ba7c3e48"), Ok(()), "hexadecimal text is a key, too");
    }

    proptest! {
        #[test]
        fn what_is_random_passes(seed: u64) {
            let rng = &mut StdRng::seed_from_u64(seed);
            prop_assert_eq!(SigningSecret::generate(rng).check_strength(), Ok(()));
            prop_assert_eq!(SigningSecret::generate_ed25519(rng).check_strength(), Ok(()));
        }

        #[test]
        fn the_shortest_random_key_passes(key in any::<[u8; 24]>().no_shrink()) {
            prop_assert_eq!(check(&key), Ok(()));
        }
    }
}
