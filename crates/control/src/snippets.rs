//! Code to receive and verify deliveries, and to produce events, in the languages of integrators.
//!
//! The texts are files in `snippets`. What a framework needs is in `receive`; how a signature is verified is in
//! `verify`, by language and signing style, and is put in where `{{verify}}` stands.

use postrider_domain::endpoint::{HmacEncoding, SigningStyle};
use postrider_postgres::secrets::SecretKind;

/// A language, with its verification in each style.
struct Language {
    name: &'static str,
    standard: &'static str,
    ed25519: &'static str,
    x_webhook: &'static str,
    hmac: &'static str,
}

macro_rules! language {
    ($name:literal, $folder:literal, $extension:literal) => {
        Language {
            name: $name,
            standard: include_str!(concat!("../snippets/verify/", $folder, "/standard.", $extension)),
            ed25519: include_str!(concat!("../snippets/verify/", $folder, "/ed25519.", $extension)),
            x_webhook: include_str!(concat!("../snippets/verify/", $folder, "/x_webhook.", $extension)),
            hmac: include_str!(concat!("../snippets/verify/", $folder, "/hmac.", $extension)),
        }
    };
}

const JAVASCRIPT: Language = language!("JavaScript", "javascript", "mjs");
const TYPESCRIPT: Language = language!("TypeScript", "typescript", "ts");
const PYTHON: Language = language!("Python", "python", "py");
const GO: Language = language!("Go", "go", "go");
const JAVA: Language = language!("Java", "java", "java");
const PHP: Language = language!("PHP", "php", "php");
const RUST: Language = language!("Rust", "rust", "rs");

/// What a snippet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To receive deliveries and verify them.
    Receive,
    /// To produce events.
    Produce,
}

/// A snippet, before it is filled in.
pub struct Snippet {
    /// Its name in URLs.
    pub id: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// The framework or client that it stands on.
    pub framework: &'static str,
    /// What to call the file.
    pub file: &'static str,
    language: &'static Language,
    text: &'static str,
}

macro_rules! snippets {
    ($($purpose:ident $id:literal $language:ident $framework:literal $file:literal $path:literal),+ $(,)?) => {
        /// Every snippet.
        pub const ALL: &[Snippet] = &[$(Snippet {
            id: $id,
            purpose: Purpose::$purpose,
            framework: $framework,
            file: $file,
            language: &$language,
            text: include_str!(concat!("../snippets/", $path)),
        }),+];
    };
}

snippets! {
    Receive "node" JAVASCRIPT "Node.js" "receiver.mjs" "receive/node.mjs",
    Receive "express" JAVASCRIPT "Express" "receiver.mjs" "receive/express.mjs",
    Receive "nextjs" JAVASCRIPT "Next.js" "app/webhooks/route.js" "receive/nextjs.mjs",
    Receive "typescript" TYPESCRIPT "Node.js" "receiver.ts" "receive/typescript.ts",
    Receive "python" PYTHON "http.server" "receiver.py" "receive/python.py",
    Receive "fastapi" PYTHON "FastAPI" "receiver.py" "receive/fastapi.py",
    Receive "flask" PYTHON "Flask" "receiver.py" "receive/flask.py",
    Receive "go" GO "net/http" "receiver.go" "receive/net_http.go",
    Receive "spring" JAVA "Spring" "src/main/java/com/example/webhooks/Receiver.java" "receive/spring.java",
    Receive "php" PHP "plain PHP" "receiver.php" "receive/php.php",
    Receive "axum" RUST "axum" "src/main.rs" "receive/axum.rs",
    Produce "node-http" JAVASCRIPT "HTTP" "publish.mjs" "produce/http.mjs",
    Produce "node-kafka" JAVASCRIPT "KafkaJS" "publish.mjs" "produce/kafka.mjs",
    Produce "python-http" PYTHON "HTTP" "publish.py" "produce/http.py",
    Produce "python-kafka" PYTHON "confluent-kafka" "publish.py" "produce/kafka.py",
    Produce "go-http" GO "HTTP" "publish.go" "produce/http.go",
    Produce "go-kafka" GO "kafka-go" "publish.go" "produce/kafka.go",
    Produce "java-http" JAVA "HTTP" "Publish.java" "produce/http.java",
    Produce "java-kafka" JAVA "kafka-clients" "Publish.java" "produce/kafka.java",
    Produce "rust-http" RUST "reqwest" "src/main.rs" "produce/http.rs",
    Produce "rust-kafka" RUST "rdkafka" "src/main.rs" "produce/kafka.rs",
}

/// What snippets are filled in with.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// How deliveries are signed.
    pub signing: &'a SigningStyle,
    /// What with: of an ed25519 key, receivers have the public half.
    pub key: SecretKind,
    /// Whose events are produced.
    pub tenant: &'a str,
    /// Where the API is.
    pub api: &'a str,
}

impl Snippet {
    /// Its language.
    pub fn language(&self) -> &'static str {
        self.language.name
    }

    /// Whether the end-to-end tests execute it against real deliveries: those whose languages they have.
    pub fn is_executed(&self) -> bool {
        self.language.name != PHP.name
    }

    /// The code, ready to be run.
    pub fn render(&self, filling: Filling<'_>) -> String {
        let (verify, header, encoding) = match filling.signing {
            SigningStyle::Standard if filling.key == SecretKind::Ed25519 => (self.language.ed25519, "", ""),
            SigningStyle::Standard => (self.language.standard, "", ""),
            SigningStyle::XWebhook => (self.language.x_webhook, "", ""),
            SigningStyle::Hmac { header, encoding: HmacEncoding::Hex } => (self.language.hmac, header.as_str(), "hex"),
            SigningStyle::Hmac { header, encoding: HmacEncoding::Base64 } => {
                (self.language.hmac, header.as_str(), "base64")
            }
        };
        let secret = if filling.key == SecretKind::Ed25519 { "=whpk_…" } else { "=whsec_…" };
        let (imports, verify) = verify.split_once("----\n").unwrap_or(("", verify));
        self.text
            .replace("{{imports}}", imports.trim_end_matches('\n'))
            .replace("// {{verify}}", verify.trim_end_matches('\n'))
            .replace("{{verify}}", verify.trim_end_matches('\n'))
            .replace("=whsec_…", secret)
            .replace("{{header}}", &header.to_ascii_lowercase())
            .replace("{{encoding}}", encoding)
            .replace("{{tenant}}", filling.tenant)
            .replace("{{api}}", filling.api)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn styles() -> [SigningStyle; 4] {
        let hmac = |encoding| SigningStyle::Hmac { header: "X-Shop-Hmac".to_owned(), encoding };
        [SigningStyle::Standard, SigningStyle::XWebhook, hmac(HmacEncoding::Hex), hmac(HmacEncoding::Base64)]
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for snippet in ALL {
            for signing in &styles() {
                for key in [SecretKind::Hmac, SecretKind::Ed25519] {
                    let filling = Filling { signing, key, tenant: "ten_1", api: "https://api.example.com" };
                    let code = snippet.render(filling);
                    assert!(!code.contains("{{") && !code.contains("----"), "{}: {code}", snippet.id);
                }
            }
        }
    }

    #[test]
    fn a_receiver_looks_at_the_headers_of_its_endpoints_style() {
        for snippet in ALL.iter().filter(|snippet| snippet.purpose == Purpose::Receive) {
            let by = |signing, key| snippet.render(Filling { signing, key, tenant: "", api: "" });
            let code = |signing| by(signing, SecretKind::Hmac);
            let [standard, x_webhook, hex, base64] = styles();
            assert!(code(&standard).contains("webhook-timestamp"), "{}", snippet.id);
            let asymmetric = by(&standard, SecretKind::Ed25519);
            assert!(asymmetric.contains("v1a") && !asymmetric.contains("whsec_"), "{}: {asymmetric}", snippet.id);
            assert!(code(&x_webhook).contains("x-webhook-timestamp"), "{}", snippet.id);
            assert!(code(&hex).contains("x-shop-hmac") && code(&hex) != code(&base64), "{}", snippet.id);
        }
    }

    #[test]
    fn ids_are_unique() {
        assert_eq!(ALL.iter().map(|snippet| snippet.id).collect::<HashSet<_>>().len(), ALL.len());
    }
}
