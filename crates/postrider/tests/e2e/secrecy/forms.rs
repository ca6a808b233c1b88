//! The forms in which a secret would be in the clear, and the search for them.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use rand::Rng as _;
use regex::bytes::{Regex, RegexBuilder};

/// Shorter forms would be found by chance.
const MIN_FORM_BYTES: usize = 12;
/// What is shown around what is found.
const CONTEXT_BYTES: usize = 80;

/// Something that nobody may see who is not told it.
#[derive(Debug, Clone)]
pub struct Secret {
    /// What it is.
    pub name: String,
    /// It.
    pub bytes: Vec<u8>,
    /// Whether it is of a URL, which those who may change endpoints are shown.
    pub is_of_url: bool,
}

impl Secret {
    /// Any text.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), bytes: text.as_bytes().to_vec(), is_of_url: false }
    }

    /// A part of an endpoint's URL.
    pub fn of_url(name: &str, text: &str) -> Self {
        Self { is_of_url: true, ..Self::new(name, text) }
    }

    /// A signing secret: its text, and the key that is in it.
    pub fn signing(name: &str, text: &str) -> [Self; 2] {
        let (_, encoded) = text.split_once('_').unwrap();
        let key = Self { bytes: BASE64_STANDARD.decode(encoded).unwrap(), ..Self::new(&format!("{name}'s key"), "") };
        [Self::new(name, encoded), key]
    }

    /// A private key of the kind that receivers' clients have (P-256, PKCS#8): its number, which is the secret of it.
    pub fn private_key(name: &str, pem: &str) -> [Self; 2] {
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64_STANDARD.decode(lines.concat()).unwrap();
        let number = Self { bytes: der[36..68].to_vec(), ..Self::new(&format!("{name}'s number"), "") };
        [Self::new(&format!("{name}'s line"), &lines[1][..24]), number]
    }
}

/// A text that nobody guesses and nothing else has.
pub fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    postrider_control::clock::rng().fill_bytes(&mut random);
    BASE64_URL_SAFE_NO_PAD.encode(random)
}

/// A signing secret that its owner brings.
pub fn brought(prefix: &str) -> String {
    let mut key = [0; 32];
    postrider_control::clock::rng().fill_bytes(&mut key);
    format!("{prefix}{}", BASE64_STANDARD.encode(key))
}

/// Finds secrets in bytes.
pub struct Searcher {
    names: Vec<String>,
    forms: Regex,
}

impl Searcher {
    /// Looks for all of these, in every form.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let (mut names, mut forms) = (Vec::new(), Vec::new());
        for secret in secrets {
            for (form, bytes) in forms_of(&secret.bytes) {
                names.push(format!("{} ({form})", secret.name));
                let escaped: Vec<String> = bytes.iter().map(|byte| format!(r"\x{byte:02X}")).collect();
                forms.push(format!("({})", escaped.concat()));
            }
        }
        let forms = RegexBuilder::new(&forms.join("|")).unicode(false).size_limit(64 << 20).build().unwrap();
        Self { names, forms }
    }

    /// What is found in `bytes`, each with what is around the first place.
    pub fn find(&self, bytes: &[u8]) -> Vec<String> {
        let mut found: Vec<(usize, String)> = Vec::new();
        let mut at = 0;
        while let Some(place) = self.forms.find_at(bytes, at) {
            at = place.end();
            // Which of the forms it is, only what was found has to be asked.
            let captures = self.forms.captures(place.as_bytes()).unwrap();
            let which = (1..captures.len()).find(|&group| captures.get(group).is_some()).unwrap() - 1;
            if found.iter().all(|(known, _)| *known != which) {
                let around = &bytes[place.start().saturating_sub(CONTEXT_BYTES)..bytes.len().min(at + CONTEXT_BYTES)];
                found.push((which, format!("{} in …{}…", self.names[which], String::from_utf8_lossy(around))));
            }
        }
        found.into_iter().map(|(_, words)| words).collect()
    }
}

/// The bytes themselves, and how they would be written in something else.
fn forms_of(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![
        ("as it is", secret.to_vec()),
        ("in hexadecimal", hex::encode(secret).into_bytes()),
        ("in hexadecimal", hex::encode_upper(secret).into_bytes()),
        ("percent-encoded", percent_encoded(secret).into_bytes()),
    ];
    // What is encoded together with it shifts it by none, two or four bits.
    for shift in 0..3 {
        let shifted = [vec![0; shift], secret.to_vec()].concat();
        let (first, last) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        for encoded in [BASE64_STANDARD_NO_PAD.encode(&shifted), BASE64_URL_SAFE_NO_PAD.encode(&shifted)] {
            forms.push(("in base64", encoded.as_bytes()[first..last].to_vec()));
        }
    }
    forms.sort_by(|(_, a), (_, b)| a.cmp(b));
    forms.dedup_by(|(_, a), (_, b)| a == b);
    assert!(forms.iter().all(|(_, form)| form.len() >= MIN_FORM_BYTES), "{forms:?} are too short to be searched for");
    forms
}

fn percent_encoded(bytes: &[u8]) -> String {
    let encode = |&byte: &u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}
