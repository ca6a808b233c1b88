//! The pages for people: the guide, and the reference of every operation, which can try requests. Neither loads
//! anything from elsewhere.

use std::fmt::Write as _;

use poem::{
    IntoResponse, Response, handler,
    http::header,
    web::{Data, Html},
};
use poem_openapi::OpenApiService;
use postrider_domain::{ErrorClass, endpoint::SigningStyle};
use postrider_postgres::secrets::SecretKind;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{openapi::document, problem::ProblemKind, state::ApiConfig};
use crate::snippets::{ALL, Filling, Purpose, Snippet};

const GUIDE: &str = include_str!("../../docs/guide.md");
const STYLE: &str = include_str!("../../docs/page.css");

/// The pages, and what the browser may load for them.
pub(super) struct Pages {
    /// The OpenAPI document.
    pub document: String,
    reference: String,
    guide: String,
    policy: String,
}

impl Pages {
    /// The pages of an API that is configured so.
    pub fn new(config: &ApiConfig) -> Self {
        let document = document(config.public_url.as_deref());
        Self {
            reference: reference(&document),
            guide: guide(&api_url(config)),
            policy: policy(config.public_url.as_deref()),
            document,
        }
    }
}

/// The OpenAPI document.
#[handler]
pub(super) fn openapi_json(Data(pages): Data<&std::sync::Arc<Pages>>) -> Response {
    pages.document.clone().with_content_type("application/json").into_response()
}

/// The reference page.
#[handler]
pub(super) fn docs(Data(pages): Data<&std::sync::Arc<Pages>>) -> Response {
    page(&pages.reference, &pages.policy)
}

/// The guide.
#[handler]
pub(super) fn docs_guide(Data(pages): Data<&std::sync::Arc<Pages>>) -> Response {
    page(&pages.guide, &pages.policy)
}

fn page(html: &str, policy: &str) -> Response {
    Html(html.to_owned()).with_header(header::CONTENT_SECURITY_POLICY, policy).into_response()
}

/// Where callers find the API, as far as is known.
pub(super) fn api_url(config: &ApiConfig) -> String {
    let url = config.public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen));
    url.trim_end_matches('/').to_owned()
}

/// What a page may load and ask: nothing from elsewhere but the API itself, where its public URL has another origin.
fn policy(public_url: Option<&str>) -> String {
    let api = public_url.filter(|url| !url.contains([' ', ';', ',', '\'', '"'])).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; \
         font-src data:; connect-src 'self' {api}; frame-ancestors 'none'; base-uri 'none'"
    )
}

/// The page with every operation. Swagger UI, which comes with poem-openapi, shows the document and tries requests.
fn reference(document: &str) -> String {
    let generated = OpenApiService::new((), "", "").swagger_ui_html();
    let style = between(&generated, "<style charset=\"UTF-8\">", "</style>");
    let script = between(&generated, "<script charset=\"UTF-8\">", "</script>");
    // As part of a script, where no text of it may end that script.
    let document = document.replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Postrider API</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>{style}\n{STYLE}</style>\n\
         </head>\n<body>\n{BAR}<div id=\"reference\"></div>\n<script>{script}</script>\n<script>\nSwaggerUIBundle({{\n\
         spec: {document},\ndom_id: \"#reference\", deepLinking: true, docExpansion: \"none\", filter: true, \
         displayRequestDuration: true, persistAuthorization: false, tryItOutEnabled: true, validatorUrl: null,\n\
         }});\n</script>\n</body>\n</html>\n"
    )
}

const BAR: &str = "<div class=\"bar\"><strong>Postrider</strong><a href=\"/docs/guide\">Guide</a>\
                   <a href=\"/docs\">Reference</a><a href=\"/openapi.json\">OpenAPI</a></div>\n";

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or(rest, |(part, _)| part)
}

/// The guide as a page.
fn guide(api: &str) -> String {
    let text = filled_in(api);
    let mut events: Vec<Event<'_>> = Parser::new_ext(&text, Options::ENABLE_TABLES).collect();
    let contents = number_headings(&mut events);
    let mut body = String::new();
    pulldown_cmark::html::push_html(&mut body, events.into_iter());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Postrider guide</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>{STYLE}</style>\n</head>\n\
         <body>\n{BAR}<div class=\"guide\">\n<nav>{contents}</nav>\n<main>\n{body}</main>\n</div>\n</body>\n</html>\n"
    )
}

/// Gives chapters ids to link to. Answers the links.
fn number_headings(events: &mut [Event<'_>]) -> String {
    let mut contents = String::new();
    for at in 0..events.len() {
        let Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) = &events[at] else { continue };
        let title: String = events[at + 1..]
            .iter()
            .take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))))
            .filter_map(|event| if let Event::Text(text) = event { Some(text.to_string()) } else { None })
            .collect();
        let anchor = title.to_lowercase().replace(' ', "-");
        let _ = write!(contents, "<a href=\"#{anchor}\">{title}</a>");
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[at] {
            *id = Some(CowStr::from(anchor));
        }
    }
    contents
}

/// The guide's text with what the code knows best.
fn filled_in(api: &str) -> String {
    let filling = Filling { signing: &SigningStyle::Standard, key: SecretKind::Hmac, tenant: "ten_…", api };
    let receivers: Vec<&Snippet> = ALL.iter().filter(|it| it.purpose == Purpose::Receive).collect();
    let mut all = String::new();
    for snippet in &receivers {
        let executed = if snippet.is_executed() { "" } else { " (not executed by the tests)" };
        let language = snippet.language();
        let framework = if snippet.framework == language { "" } else { snippet.framework };
        let code = snippet.render(filling);
        let _ = write!(
            all,
            "<details><summary>{language}, {framework}{executed}</summary>\n\n```\n{code}```\n\n</details>\n\n"
        );
    }
    let plain = receivers.iter().find(|it| it.id == "python").map(|it| it.render(filling)).unwrap_or_default();
    GUIDE
        .replace("{{api}}", api)
        .replace("{{python-receiver}}", plain.trim_end())
        .replace("{{receivers}}", &all)
        .replace("{{problems}}", &problems())
        .replace("{{error-classes}}", &error_classes())
}

/// Every kind of problem, as a table.
fn problems() -> String {
    let mut table = "| `type` | status | |\n|---|---|---|\n".to_owned();
    for kind in ProblemKind::ALL {
        let (name, title) = kind.name_and_title();
        let _ = writeln!(table, "| `/problems/{name}` | {} | {title} |", kind.status().as_u16());
    }
    table
}

/// Every error class, as a table.
fn error_classes() -> String {
    let mut table = "| `error_class` | |\n|---|---|\n".to_owned();
    for class in ErrorClass::ALL {
        let _ = writeln!(table, "| `{class}` | {} |", meaning(class));
    }
    table
}

fn meaning(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Dns => "The host's name has no address, or it could not be looked up.",
        ErrorClass::Connect => "No connection could be made, or it was reset.",
        ErrorClass::Tls => "The TLS handshake failed: a certificate that is expired, or not of a trusted authority.",
        ErrorClass::Timeout => "No answer within the endpoint's time-out.",
        ErrorClass::AddressRefused => "The URL leads to an address that is not public.",
        ErrorClass::Redirect => "A 3xx: redirects are not followed. Change the endpoint's URL.",
        ErrorClass::HttpClientError => "A 4xx other than those of their own class. Is it the signature?",
        ErrorClass::Gone => "410: the receiver wants no more, and the endpoint was disabled.",
        ErrorClass::RateLimited => "429: slower.",
        ErrorClass::HttpServerError => "A 5xx.",
        ErrorClass::InvalidResponse => "An answer that is not HTTP.",
        ErrorClass::PayloadTooLarge => "The body would be over 1 MiB. Nothing was sent.",
        ErrorClass::MappingFailed => "The subscription's mapping can't be filled from the event. Nothing was sent.",
        ErrorClass::Configuration => "The endpoint's configuration can't be used. Nothing was sent.",
        ErrorClass::HeldExpired => "It was held for 28 days, and never had its turn.",
        ErrorClass::EndpointUnknown => "The endpoint of a test send did not become known in time.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_load_nothing_from_elsewhere() {
        let pages = Pages::new(&ApiConfig::default());
        for page in [&pages.reference, &pages.guide] {
            let head = &page[..page.find("<body>").expect("a body")];
            assert!(!head.contains("src=") && !head.contains("href=") && !head.contains("@import"), "{head:.500}");
            assert!(!page.contains("<script src") && !page.contains("rel=\"stylesheet\""));
        }
        assert!(pages.policy.starts_with("default-src 'none'"));
    }

    #[test]
    fn the_reference_has_the_document_and_can_try_requests() {
        let pages = Pages::new(&ApiConfig::default());
        assert!(pages.reference.contains("\"createEndpoint\"") && pages.reference.contains("tryItOutEnabled: true"));
        assert!(pages.reference.len() > 1 << 20, "the script is in it");
    }

    #[test]
    fn the_guide_is_complete() {
        let config = ApiConfig { public_url: Some("https://hooks.example.com/".to_owned()), ..ApiConfig::default() };
        let pages = Pages::new(&config);
        let guide = &pages.guide;
        assert!(!guide.contains("{{"), "something is not filled in");
        assert!(guide.contains("POSTRIDER_URL=https://hooks.example.com\n"));
        for chapter in [
            "getting-started",
            "developing",
            "verifying-signatures",
            "retries-and-idempotency",
            "ordering",
            "replay",
            "going-live",
            "security",
            "errors",
            "versions-and-deprecation",
        ] {
            assert!(guide.contains(&format!("<h2 id=\"{chapter}\">")), "no chapter {chapter}");
            assert!(guide.contains(&format!("href=\"#{chapter}\"")), "no link to {chapter}");
        }
        for snippet in ALL.iter().filter(|it| it.purpose == Purpose::Receive) {
            assert!(guide.contains(&format!("<summary>{}", snippet.language())), "{}", snippet.id);
        }
        assert!(guide.contains("/problems/conflict") && guide.contains("address_refused"));
    }
}
