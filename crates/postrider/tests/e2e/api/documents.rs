//! The OpenAPI document and the page that renders it.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Context, Deployment, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![
        the_document_in_the_repository_is_what_the_binary_prints_and_is_complete,
        the_api_serves_its_document_and_its_page_without_other_servers
    ]
}

async fn the_document_in_the_repository_is_what_the_binary_prints_and_is_complete(_: Context) {
    let printed = postrider(&["openapi"], None, &[]).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/postrider.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept == printed.stdout,
        "openapi/postrider.json is not what `postrider openapi` prints: run `make openapi`"
    );

    let document: Value = serde_json::from_str(&printed.stdout).unwrap();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            complete(&document, &format!("{method} {path}"), operation);
        }
    }
    assert!(operations >= 22, "{operations} operations");
}

/// An operation has an id, a summary, examples, and its error responses.
fn complete(document: &Value, name: &str, operation: &Value) {
    for part in ["operationId", "summary", "description"] {
        assert!(operation[part].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {part}");
    }
    for content in operation["requestBody"]["content"].as_object().into_iter().flat_map(|content| content.values()) {
        assert!(!example(document, &content["schema"]).is_null(), "{name}: the request has no example");
    }
    let responses = operation["responses"].as_object().unwrap();
    for (status, response) in responses {
        for (media_type, content) in response["content"].as_object().into_iter().flatten() {
            let documented = media_type.starts_with("text/") || !example(document, &content["schema"]).is_null();
            assert!(documented, "{name}: the {status} has no example");
        }
    }
    if name.contains("/v1/") {
        for status in ["400", "401", "403", "404", "500", "503"] {
            let problem = responses.get(status).and_then(|response| response["content"].as_object());
            let problem = problem.is_some_and(|content| content.keys().any(|kind| kind.contains("problem+json")));
            assert!(problem, "{name} does not say what its {status} is");
        }
    }
}

/// The example of a schema, or of the one that it refers to.
fn example<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => &document["components"]["schemas"][reference.rsplit('/').next().unwrap()]["example"],
        None => &schema["example"],
    }
}

async fn the_api_serves_its_document_and_its_page_without_other_servers(context: Context) {
    let mut deployment = Deployment::start(&context, "docs").await;
    let base = deployment.service().process.api_url();
    let page = reqwest::get(format!("{base}/docs")).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let page = page.text().await.unwrap();
    for reference in ["src=\"http", "src='http", "src=\"//", "href=\"http", "href='http", "href=\"//"] {
        // Before the scripts, which have such texts in them; whatever is loaded stands there.
        let head = &page[..page.find("<script").unwrap_or(page.len())];
        assert!(!head.contains(reference), "the page loads something from elsewhere: {reference}");
        assert!(!page.contains(&format!("<script {reference}")), "a script from elsewhere");
        assert!(!page.contains(&format!("<link rel=\"stylesheet\" {reference}")), "a style from elsewhere");
    }
    assert!(!page.contains("@import url(http") && !page.contains("url(https://fonts"), "a font from elsewhere");
    assert!(page.contains("createEndpoint"), "the page has the document in it");
    assert!(page.contains("tryItOutEnabled"), "the page can try requests");

    let guide = reqwest::get(format!("{base}/docs/guide")).await.unwrap();
    let policy = guide.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let guide = guide.text().await.unwrap();
    assert!(guide.contains("<h2 id=\"getting-started\">") && !guide.contains("{{"), "{guide}");
    for loaded in ["src=", "<link", "@import"] {
        assert!(!guide.split("<pre>").next().unwrap().contains(loaded), "the guide loads something: {loaded}");
    }

    let served: Value = reqwest::get(format!("{base}/openapi.json")).await.unwrap().json().await.unwrap();
    assert_eq!(served["paths"]["/v1/events"]["post"]["operationId"], "publishEvent");
    let health = reqwest::get(format!("{base}/healthz")).await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let (status, readiness) = deployment.readiness().await;
    assert_eq!((status, &readiness["status"]), (StatusCode::OK, &Value::from("ready")));
    assert!(readiness["parts"].as_array().unwrap().len() >= 5, "every role is among the parts: {readiness}");
}
