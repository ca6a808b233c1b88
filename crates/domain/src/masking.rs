//! What of a request and its answer may be written down: names always, values unless they are secret.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::delivery::Header;

/// What stands in the place of a value that is not shown.
pub const MASK: &str = "***";

/// A shorter text is no secret: it would be found everywhere.
const MIN_SECRET_BYTES: usize = 8;

/// A part of a path or of a header's value is as long as this at least, or has a digit, where it is a secret by itself:
/// words seldom are.
const MIN_SECRET_WORD_BYTES: usize = 16;

/// What is in the names of headers whose values are secret, whoever sends them.
const SECRET_NAMES: [&str; 10] =
    ["authorization", "cookie", "token", "secret", "password", "passwd", "api-key", "apikey", "credential", "session"];

/// Whether the value of a header with this name, in lower case, is secret by its nature.
pub fn is_secret_header(name: &str) -> bool {
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// The header as it may be shown; `is_own` says that its owner keeps its value secret.
pub fn shown_header(name: &str, value: &str, is_own: bool) -> Header {
    let value = if is_own || is_secret_header(name) { MASK } else { value };
    Header { name: name.to_owned(), value: value.to_owned() }
}

/// Texts that may be in what somebody answers, since they were in what was sent, and that nobody else may see.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// These, but for those that are too short to be secrets, also as JSON has them. A text that has another one in it is
    /// masked first.
    pub fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let long = texts.into_iter().filter(|text| text.len() >= MIN_SECRET_BYTES);
        let mut texts: Vec<String> =
            long.flat_map(|text| [in_json(&text), in_json(&text).replace('/', r"\/"), text]).collect();
        texts.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self(texts)
    }

    /// What is secret of a request to `url` with these headers' values: path and query, which are what a chat hook is
    /// known by, and the values, each whole and in the parts that may be answered alone (`invalid token …`).
    pub fn of_request<'a>(url: &Url, header_values: impl Iterator<Item = &'a str>) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let parts = url.path().split('/').flat_map(|part| [part.to_owned(), decoded(part)]);
        let in_path = [url.path().to_owned(), decoded(url.path())].into_iter().chain(parts.filter(|it| is_no_word(it)));
        let pairs = url.query_pairs().map(|(_, value)| value.into_owned());
        let raw_pairs = url.query().unwrap_or_default().split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
        let in_query = url.query().into_iter().chain(raw_pairs).map(str::to_owned).chain(pairs);
        Self::new(in_path.chain(in_query).chain(header_values.flat_map(in_header)))
    }

    /// Masks them where they are in `text`.
    pub fn mask(&self, text: &mut String) {
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), MASK);
            }
        }
    }

    /// The same in the beginning of a longer text: where it breaks off may be the beginning of a secret.
    pub fn mask_beginning(&self, text: &mut String) {
        self.mask(text);
        let begun = |secret: &String| {
            let lengths = MIN_SECRET_BYTES..secret.len();
            lengths.rev().find(|length| secret.get(..*length).is_some_and(|begun| text.ends_with(begun)))
        };
        if let Some(length) = self.0.iter().filter_map(begun).max() {
            text.truncate(text.len() - length);
            text.push_str(MASK);
        }
    }
}

/// A text as it stands in JSON, without the quotes; some writers escape slashes too.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A header's value, and what of it may be answered alone: what is behind `Bearer`, what is encoded behind `Basic`.
fn in_header(value: &str) -> Vec<String> {
    let words = value.split(|c: char| c.is_whitespace() || "\"',;=".contains(c)).filter(|it| is_no_word(it));
    let mut found: Vec<String> = std::iter::once(value).chain(words).map(str::to_owned).collect();
    let encoded = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let login = encoded.and_then(|(_, encoded)| String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok());
    if let Some(login) = login {
        found.extend(login.split_once(':').map(|(_, password)| password.to_owned()));
        found.push(login);
    }
    found
}

fn is_no_word(part: &str) -> bool {
    part.len() >= MIN_SECRET_WORD_BYTES || part.bytes().any(|byte| byte.is_ascii_digit())
}

/// Never shows them.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_headers_and_of_an_owners_own_are_not_shown() {
        for (name, is_own, shown) in [
            ("content-type", false, "v"),
            ("webhook-signature", false, "v"),
            ("x-team", true, MASK),
            ("authorization", false, MASK),
            ("x-api-key", false, MASK),
            ("set-cookie", false, MASK),
        ] {
            assert_eq!(shown_header(name, "v", is_own).value, shown, "{name}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_come_back_the_longest_first() {
        let secrets = Secrets::new(["/services/T0", "/services/T0/B0/x1", "short"].map(str::to_owned));
        let mut text = "Cannot POST /services/T0/B0/x1, short of /services/T0".to_owned();
        secrets.mask(&mut text);
        assert_eq!(text, "Cannot POST ***, short of ***");
        assert!(format!("{secrets:?}").starts_with("Secrets("));
    }

    #[test]
    fn secrets_are_masked_as_json_has_them() {
        let secrets = Secrets::new(["/services/T0/B0/x1", r#"a "quoted\" one"#].map(str::to_owned));
        let mut text =
            r#"{"path":"\/services\/T0\/B0\/x1","same":"/services/T0/B0/x1","x":"a \"quoted\\\" one"}"#.to_owned();
        secrets.mask(&mut text);
        assert_eq!(text, r#"{"path":"***","same":"***","x":"***"}"#);
    }

    #[test]
    fn where_a_text_breaks_off_the_beginning_of_a_secret_is_masked() {
        let secrets = Secrets::new(["tok-4f9a1c77e2b04d56".to_owned()]);
        for (text, masked) in [
            ("you sent tok-4f9a1c77e2b04d5", "you sent ***"),
            ("you sent tok-4f9a", "you sent ***"),
            ("you sent tok-4f9", "you sent tok-4f9"),
            ("tok-4f9a1c77e2b04d56 or tok-4f9a1c7", "*** or ***"),
            ("tok-4f9a1c77 is a part", "tok-4f9a1c77 is a part"),
        ] {
            let mut shown = text.to_owned();
            secrets.mask_beginning(&mut shown);
            assert_eq!(shown, masked, "{text}");
        }
    }

    #[test]
    fn what_is_answered_of_a_request_is_masked_whole_and_in_parts() {
        let url = Url::parse("https://chat.example/hooks/T0a%20b/xoxb71Zq9?key=p%2Fq-88812&v=1").unwrap();
        let headers = ["Bearer tok_51Hx0aa", "Basic cG9zdHJpZGVyOmh1bnRlcjIh", "session=9f86d081884c; theme=sunrise"];
        let secrets = Secrets::of_request(&url, headers.into_iter());
        for (answered, shown) in [
            ("Cannot POST /hooks/T0a%20b/xoxb71Zq9?key=p%2Fq-88812&v=1", "Cannot POST ***?***"),
            ("no hook '/hooks/T0a b/xoxb71Zq9'", "no hook '***'"),
            (r"no route \/hooks\/xoxb71Zq9", r"no route \/hooks\/***"),
            ("key p%2Fq-88812, or p/q-88812", "key ***, or ***"),
            ("token tok_51Hx0aa has expired", "token *** has expired"),
            ("login postrider:hunter2! failed, password hunter2!", "login *** failed, password ***"),
            ("no session 9f86d081884c, theme sunrise", "no session ***, theme sunrise"),
            ("the hooks are down", "the hooks are down"),
        ] {
            let mut text = answered.to_owned();
            secrets.mask(&mut text);
            assert_eq!(text, shown);
        }
    }
}
