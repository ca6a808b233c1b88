//! Text that must not be shown.

use std::{borrow::Cow, fmt};

use postrider_domain::seal::Zeroizing;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is shown in the place of a secret.
pub const REDACTED: &str = "********";

/// How the texts of signing secrets and API keys begin.
const PREFIXES: [&str; 3] = ["whsec_", "whsk_", "pr_"];
/// All of them are longer than this, an API key's public prefix is shorter.
const MIN_SECRET_CHARACTERS: usize = 32;

/// `text` without the texts of signing secrets and API keys: who gives one where an id or a name is wanted has it neither
/// answered nor logged.
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    let first = |text: &str| PREFIXES.iter().filter_map(|prefix| text.find(prefix)).min();
    if first(text).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = first(rest) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && !"_-+/=".contains(c)).unwrap_or(from.len());
        let (found, after) = from.split_at(end);
        shown.push_str(before);
        shown.push_str(if found.len() > MIN_SECRET_CHARACTERS { REDACTED } else { found });
        rest = after;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// A secret that came in a request: wiped from memory when dropped, and never shown, neither by `Debug` nor as JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Keeps `text` to itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for sealing and checking.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_and_never_shown() {
        let secret: SecretText = serde_json::from_str("\"s3cret\"").unwrap();
        assert_eq!(secret.reveal(), "s3cret");
        assert_eq!(format!("{secret:?}"), REDACTED);
        assert_eq!(serde_json::to_string(&secret).unwrap(), format!("\"{REDACTED}\""));
    }

    #[test]
    fn secrets_are_left_out_of_a_text_and_what_only_begins_like_one_is_kept() {
        let key = "pr_7f3k9m2q5t8w_pQ4mY0cX8mJ6m0q0vQ0c1n3b2xk9zFhTgS5uWw7ErLd";
        for (text, shown) in [
            (format!("there is no API key '{key}'"), "there is no API key '********'"),
            (format!("/v1/api-keys/{key}/usage"), "/v1/api-keys/********"),
            ("whsec_MfKQ9r8GKYqrTwjU/D8ILPZIo2LaLaSw=, twice".to_owned(), "********, twice"),
            ("it is whsk_ or whsec_ and base64".to_owned(), "it is whsk_ or whsec_ and base64"),
            ("there is no API key 'pr_7f3k9m2q5t8w'".to_owned(), "there is no API key 'pr_7f3k9m2q5t8w'"),
        ] {
            assert_eq!(without_secrets(&text), shown);
        }
    }
}
