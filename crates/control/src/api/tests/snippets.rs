//! `/v1/endpoints/{id}/snippets`.

use serde_json::json;

use super::fixture::Fixture;

#[tokio::test]
async fn snippets_verify_in_the_endpoints_own_style() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let mut path = String::new();
    for (signing, header) in [
        (json!("standard"), "webhook-signature"),
        (json!("x_webhook"), "x-webhook-signature"),
        (json!({"hmac": {"header": "X-Shop-Hmac", "encoding": "base64"}}), "x-shop-hmac"),
    ] {
        let endpoint = json!({ "name": "hook", "url": "https://public.example.com/", "signing": signing });
        let made = acme.post("/v1/endpoints", &endpoint).await;
        path = format!("/v1/endpoints/{}/snippets", made.id());
        let list = acme.get(&format!("{path}?purpose=receive&language=python")).await;
        let snippets = list.body["data"].as_array().unwrap_or_else(|| panic!("{}", list.text));
        assert_eq!(snippets.len(), 3, "plain, FastAPI and Flask");
        assert!(snippets.iter().all(|it| it["code"].as_str().unwrap().contains(header)), "{}", list.text);
    }
    let public = json!({
        "name": "hook", "url": "https://public.example.com/", "secret": "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
    });
    let made = acme.post("/v1/endpoints", &public).await;
    let list = acme.get(&format!("/v1/endpoints/{}/snippets?purpose=receive", made.id())).await;
    let snippets = list.body["data"].as_array().unwrap_or_else(|| panic!("{}", list.text));
    let by_public_key = |code: &str| code.contains("v1a") && !code.contains("whsec_");
    assert!(snippets.iter().all(|it| by_public_key(it["code"].as_str().unwrap())), "{}", list.text);

    let produce = acme.get(&format!("{path}?purpose=produce")).await;
    let code = produce.body["data"][1]["code"].as_str().unwrap();
    assert!(code.contains(&acme.id), "{code}");
    api.tenant("Other").await.get(&path).await.assert_problem(404, None);
}
