//! How many streams an HTTP/2 peer takes at a time, from the first bytes that it sends. Pure. The HTTP client keeps to
//! that limit, but does not tell it.

/// RFC 9113, section 4.1.
const FRAME_HEADER_BYTES: usize = 9;
/// RFC 9113, section 6.5.
const SETTINGS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// No peer sends a longer frame before it knows our settings (RFC 9113, section 6.5.2).
const MAX_FRAME_BYTES: usize = 16_384;

/// What a peer has said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preface {
    /// Not enough.
    Incomplete,
    /// How many streams it takes; none if it sets no limit, or does not keep to the protocol.
    Settings(Option<u32>),
}

/// Reads `bytes`, the first that a peer sends: a frame with its settings (RFC 9113, section 3.4). What it changes later
/// is not seen; servers don't.
pub(super) fn streams_allowed(bytes: &[u8]) -> Preface {
    let Some((&[a, b, c, kind, _, _, _, _, _], rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Preface::Incomplete;
    };
    let length = (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c);
    if kind != SETTINGS || length > MAX_FRAME_BYTES {
        return Preface::Settings(None);
    }
    let Some(entries) = rest.get(..length) else { return Preface::Incomplete };
    let (entries, _) = entries.as_chunks::<6>();
    // What is said twice is meant as it was said last.
    let limit = entries.iter().rev().find_map(|&[a, b, value @ ..]| {
        (u16::from_be_bytes([a, b]) == MAX_CONCURRENT_STREAMS).then(|| u32::from_be_bytes(value))
    });
    Preface::Settings(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED: &[u8] = &[0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 1, 44];

    #[test]
    fn a_peers_limit_is_in_the_first_frame_that_it_sends() {
        let table: [(&[u8], Option<u32>); 6] = [
            (LIMITED, Some(300)),
            (&[LIMITED, &[0, 0, 0, 4, 1, 0, 0, 0, 0]].concat(), Some(300)),
            (&[0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 3, 0, 0, 0, 2], Some(2)),
            (&[0, 0, 0, 4, 0, 0, 0, 0, 0], None),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
            (&[0, 65, 0, 4, 0, 0, 0, 0, 0], None),
        ];
        for (bytes, limit) in table {
            assert_eq!(streams_allowed(bytes), Preface::Settings(limit), "{bytes:?}");
        }
        for cut in 0..LIMITED.len() {
            assert_eq!(streams_allowed(&LIMITED[..cut]), Preface::Incomplete, "{cut}");
        }
    }
}
