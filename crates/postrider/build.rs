//! Fills in the receiver in Rust where the API fills it in for the plain signing style, so that the end-to-end tests can
//! run it. Nothing of the binary comes from here.

use std::{env, fs, path::Path};

const SNIPPET: &str = "../control/snippets/verify/rust/hmac.rs";
/// The header that the tests' endpoints sign with.
const HEADER: &str = "x-shop-hmac";

fn main() {
    println!("cargo::rerun-if-changed={SNIPPET}");
    let text = fs::read_to_string(SNIPPET).expect("the snippet is in the repository");
    let folder = env::var("OUT_DIR").expect("cargo says where to write");
    for encoding in ["hex", "base64"] {
        let filled = text.replace("{{header}}", HEADER).replace("{{encoding}}", encoding);
        fs::write(Path::new(&folder).join(format!("hmac_{encoding}.rs")), filled).expect("the folder is there");
    }
}
