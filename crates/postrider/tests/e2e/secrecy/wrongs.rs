//! Requests with a secret in the wrong place, or a wrong one: what is refused is not quoted.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    forms::{Secret, brought},
    run::Run,
};

/// Makes all of them.
pub async fn ask(run: &mut Run) {
    let mut wrongs = of_values(run);
    wrongs.extend(of_urls(run));
    for (method, path, body) in wrongs {
        let (status, answer) = run.hearing.ask(&run.writer, method, &path, body.as_deref()).await;
        assert!(status.is_client_error(), "{path} {body:?}: {status} {answer}");
    }
    let key = run.tenant.key.clone();
    run.hearing.ask(&run.reader, Method::GET, &format!("/v1/endpoints?api_key={key}"), None).await;
}

type Wrong = (Method, String, Option<String>);

fn of_values(run: &mut Run) -> Vec<Wrong> {
    let endpoint = format!("/v1/endpoints/{}", run.endpoint("echo"));
    let [short, present, key] = ["a short secret", "a header in a row", "a private key"].map(|name| run.secret(name));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    let with = |more: Value| {
        let mut input = json!({"name": "x", "url": "https://hooks.example.test/"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (Method::POST, "/v1/endpoints".to_owned(), Some(input.to_string()))
    };
    let once = brought("whsec_");
    run.hearing.secrets.extend(Secret::signing("a secret in the wrong place", &once));
    let patch = |more: Value| (Method::PATCH, endpoint.clone(), Some(more.to_string()));
    let get = |path: String| (Method::GET, path, None);
    vec![
        with(json!({"secret": format!("whsec_{short}")})),
        with(json!({"secret": format!("whsk_{short}")})),
        with(json!({"secret": short})),
        with(json!({"secret": once, "secret_kind": "ed25519"})),
        with(json!({"secret_kind": once})),
        with(json!({"headers": format!("Authorization: Bearer {present}")})),
        with(json!({"headers": {"Authorization": format!("Bearer {present}\nX: y")}})),
        with(json!({"headers": {"Host": present}})),
        with(json!({"headers": [present]})),
        with(json!({"timeout_ms": present})),
        with(json!({"client_certificate": pem})),
        with(json!({"client_certificate": {"certificate": "", "private_key": pem}})),
        with(json!({"ca": pem})),
        patch(json!({"headers": {"X-Other": format!(" {present}")}})),
        patch(json!({"client_certificate": {"certificate": pem, "private_key": pem}})),
        (Method::POST, "/v1/endpoints".to_owned(), Some(format!(r#"{{"name": "x", "secret": "{once}"#))),
        (
            Method::POST,
            format!("{endpoint}/secrets/rotate"),
            Some(json!({"secret": format!("whsec_{short}")}).to_string()),
        ),
        (
            Method::POST,
            "/v1/verify-signature".to_owned(),
            Some(json!({"secret": short, "headers": {}, "body": ""}).to_string()),
        ),
        (
            Method::POST,
            "/v1/templates/slack/endpoints".to_owned(),
            Some(json!({"parameters": {"webhook_url": short}}).to_string()),
        ),
        get(format!("/v1/api-keys/{}", run.tenant.key)),
        get(format!("/v1/endpoints/{once}")),
        (Method::DELETE, format!("/v1/api-keys/{}", run.tenant.key), None),
    ]
}

fn of_urls(run: &mut Run) -> Vec<Wrong> {
    let endpoint = format!("/v1/endpoints/{}", run.endpoint("echo"));
    let (part, password) = (run.secret("a path that is refused"), run.secret("a URL's password"));
    let urls = [
        format!("http://hooks.example.test/{part}"),
        format!("https://user:{password}@hooks.example.test/{part}"),
        format!("https://hooks.example.test/{part}#{part}"),
        format!("https://hooks.example.test/ {part}"),
        format!("https://10.1.2.3/{part}"),
        format!("https://169.254.169.254/{part}"),
        format!("https://hooks.example.test/{part}/{}", "x".repeat(2_048)),
        format!("hooks.example.test/{part}"),
    ];
    let made = urls.iter().map(|url| (Method::POST, "/v1/endpoints".to_owned(), json!({"name": "x", "url": url})));
    let changed = urls.iter().map(|url| (Method::PATCH, endpoint.clone(), json!({ "url": url })));
    let listed = (Method::POST, "/v1/endpoints".to_owned(), json!({"name": "x", "url": [part], "headers": {}}));
    let all = made.chain(changed).chain([listed]);
    all.map(|(method, path, body)| (method, path, Some(body.to_string()))).collect()
}
