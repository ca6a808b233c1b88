//! What of a request is not its body: parts of the path, and headers.

use std::fmt::Write;

use super::MappingProblem;
use crate::{
    custom_header::{check_custom_header, check_custom_header_name},
    delivery::Header,
};

/// The longest rendered path, in bytes.
pub const MAX_PATH_BYTES: usize = 2_048;

/// The header `name`, if it can be sent with that value.
pub(super) fn header(name: &str, value: String) -> Result<Header, MappingProblem> {
    check_custom_header(name, &value).map_err(MappingProblem::Header)?;
    Ok(Header { name: name.to_ascii_lowercase(), value })
}

/// Checks a header's name alone.
pub(super) fn check_header_name(name: &str) -> Result<(), MappingProblem> {
    check_custom_header_name(name).map_err(MappingProblem::Header)
}

/// Adds a part to a path, escaped: all but RFC 3986's unreserved characters. A receiver, or a proxy before it, may
/// decode what is escaped and then resolve it: what would lead elsewhere then is refused.
pub(super) fn push_path_part(path: &mut String, part: &str) -> Result<(), MappingProblem> {
    if part.len() > MAX_PATH_BYTES {
        return Err(MappingProblem::PathTooLong);
    }
    if part.is_empty() || part.chars().any(char::is_control) || leads_elsewhere(part) {
        return Err(MappingProblem::PathPart);
    }
    if !path.is_empty() {
        path.push('/');
    }
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("a text takes whatever is written");
        }
    }
    if path.len() > MAX_PATH_BYTES { Err(MappingProblem::PathTooLong) } else { Ok(()) }
}

/// Whether `.` or `..` stands between slashes, however often the part is decoded.
fn leads_elsewhere(part: &str) -> bool {
    let mut bytes = part.as_bytes().to_vec();
    loop {
        let mut segments = bytes.split(|byte| matches!(byte, b'/' | b'\\'));
        if segments.any(|segment| matches!(segment, b"." | b"..")) {
            return true;
        }
        let decoded = decoded(&bytes);
        if decoded.len() == bytes.len() {
            return false;
        }
        bytes = decoded;
    }
}

/// With every `%` and two hexadecimal digits as the byte that they stand for.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(|digits| hex::decode(digits).ok());
        decoded.push(escaped.as_ref().map_or(first, |byte| byte[0]));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(parts: &[&str]) -> Result<String, MappingProblem> {
        let mut path = String::new();
        parts.iter().try_for_each(|part| push_path_part(&mut path, part))?;
        Ok(path)
    }

    #[test]
    fn parts_are_escaped_and_joined() {
        assert_eq!(path(&["crm", "v3", "objects"]).unwrap(), "crm/v3/objects");
        assert_eq!(path(&["ann@example.com", "a b/c?d#e%41"]).unwrap(), "ann%40example.com/a%20b%2Fc%3Fd%23e%2541");
        assert_eq!(path(&["Grüße", "...", ".a", "a..b"]).unwrap(), "Gr%C3%BC%C3%9Fe/.../.a/a..b");
    }

    #[test]
    fn what_leads_elsewhere_is_refused_in_whatever_encoding() {
        for part in [
            "",
            ".",
            "..",
            "%2e",
            "%2E%2e",
            ".%2e",
            "%252e%252e",
            "%25252e",
            "../admin",
            "a/../b",
            "a/..",
            "..%2fadmin",
            "a%5c..",
            "..\\admin",
            "a\r\nb",
            "a\0",
        ] {
            assert_eq!(path(&[part]), Err(MappingProblem::PathPart), "{part:?}");
        }
        assert_eq!(path(&[&"x".repeat(MAX_PATH_BYTES + 1)]), Err(MappingProblem::PathTooLong));
        assert_eq!(path(&[&"ü".repeat(MAX_PATH_BYTES / 2)]), Err(MappingProblem::PathTooLong));
    }

    proptest! {
        #[test]
        fn a_path_stays_below_its_url(parts in proptest::collection::vec(r"[.%2eE5fF/\\a ]{0,8}|.{0,8}", 1..4)) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let Ok(path) = path(&parts) else { return Ok(()) };
            let mut url = url::Url::parse("https://example.com/base").unwrap();
            url.set_path(&format!("base/{path}"));
            prop_assert_eq!(url.path(), format!("/base/{path}"));
            prop_assert_eq!(url.host_str(), Some("example.com"));
            prop_assert_eq!(url.path_segments().unwrap().count(), 1 + parts.len());
            prop_assert!(url.query().is_none() && url.fragment().is_none());
        }
    }
}
