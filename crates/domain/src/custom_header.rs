//! Which headers an endpoint may add to its requests.

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 4_096;

/// Why a header can't be sent along. Never shows the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefused {
    /// The name is empty, too long, or has characters that a name can't have.
    #[error("{0:?} can't be the name of a header: use up to {MAX_NAME_BYTES} letters, digits and hyphens")]
    Name(String),
    /// The name belongs to the connection, to the message's framing or to Postrider.
    #[error("the header '{0}' is set by Postrider: choose another name")]
    Reserved(String),
    /// The value is too long, or has characters that a value can't have.
    #[error(
        "the value of the header '{0}' can't be sent: use up to {MAX_VALUE_BYTES} visible ASCII characters, spaces and tabs, no spaces at its ends"
    )]
    Value(String),
}

/// What belongs to the connection, to the message's framing, or to how Postrider sends.
const RESERVED: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// What begins the names that Postrider's own headers have.
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "x-webhook-", "ce-"];

/// Checks a header that an endpoint adds.
pub fn check_custom_header(name: &str, value: &str) -> Result<(), HeaderRefused> {
    check_custom_header_name(name)?;
    let characters = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if characters && value.len() <= MAX_VALUE_BYTES && value.trim() == value {
        Ok(())
    } else {
        Err(HeaderRefused::Value(name.to_owned()))
    }
}

/// Checks the name of a header that an endpoint or a mapping adds.
pub fn check_custom_header_name(name: &str) -> Result<(), HeaderRefused> {
    let lower = checked_name(name)?;
    if RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(HeaderRefused::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Checks the name of the header that holds a plain signature. It may begin with `x-webhook-`, as many receivers
/// expect it.
pub fn check_signature_header(name: &str) -> Result<(), HeaderRefused> {
    let lower = checked_name(name)?;
    if lower.starts_with("webhook-") || lower.starts_with("ce-") {
        return Err(HeaderRefused::Reserved(name.to_owned()));
    }
    Ok(())
}

/// The name in lower case.
fn checked_name(name: &str) -> Result<String, HeaderRefused> {
    // RFC 9110, 5.6.2: a token.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(token) {
        return Err(HeaderRefused::Name(name.chars().take(MAX_NAME_BYTES).collect()));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) { Err(HeaderRefused::Reserved(name.to_owned())) } else { Ok(lower) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_headers_pass() {
        for (name, value) in [("Authorization", "Bearer a b"), ("x-team", ""), ("Cookie", "a=\"b\""), ("X_1", "a\tb")] {
            assert_eq!(check_custom_header(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_are_taken_are_refused_in_any_case() {
        for name in ["Host", "content-length", "Transfer-Encoding", "Webhook-Id", "X-Webhook-Signature", "ce-id", "TE"]
        {
            assert_eq!(check_custom_header(name, "x"), Err(HeaderRefused::Reserved(name.to_owned())));
        }
    }

    #[test]
    fn what_would_break_the_message_is_refused() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for name in ["", "a b", "a:b", "a\r\nb", "é", &long] {
            assert!(matches!(check_custom_header(name, "x"), Err(HeaderRefused::Name(_))), "{name:?}");
            assert!(matches!(check_signature_header(name), Err(HeaderRefused::Name(_))), "{name:?}");
        }
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        for value in ["a\r\nx: y", "a\nb", "\0", "é", " a", "a ", &long] {
            assert_eq!(check_custom_header("x-a", value), Err(HeaderRefused::Value("x-a".into())), "{value:?}");
        }
    }

    #[test]
    fn a_signature_may_have_the_name_that_receivers_expect() {
        for name in ["X-Hub-Signature-256", "X-Webhook-Signature", "Authorization"] {
            assert_eq!(check_signature_header(name), Ok(()), "{name}");
        }
        for name in ["webhook-signature", "Content-Type", "ce-id"] {
            assert_eq!(check_signature_header(name), Err(HeaderRefused::Reserved(name.to_owned())));
        }
    }
}
