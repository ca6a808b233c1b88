//! URLs that are refused when an endpoint is made or changed: a 422 that names `url`.

use postrider_testkit::DnsServer;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Context, Deployment, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_url_that_is_not_public_https_is_refused_and_the_field_named]
}

async fn a_url_that_is_not_public_https_is_refused_and_the_field_named(context: Context) {
    let dns = DnsServer::start().await.unwrap();
    dns.set("public.example.test", &["93.184.215.14".parse().unwrap()]);
    dns.set("private.example.test", &["10.1.2.3".parse().unwrap()]);
    dns.set("mixed.example.test", &["93.184.215.14".parse().unwrap(), "fd00::1".parse().unwrap()]);
    dns.set("metadata.example.test", &["169.254.169.254".parse().unwrap()]);
    let strict = format!("[egress]\nallowed_networks = []\ndns_servers = [\"{}\"]", dns.address());
    let deployment = Deployment::with(&context, "urls", &strict).await;
    let tenant = deployment.tenant().await;

    let refused = [
        "http://public.example.test/hook",
        "ftp://public.example.test/hook",
        "https://user@public.example.test/",
        "https://user:secret@public.example.test/",
        "https://public.example.test/#part",
        "not a url",
        "https://",
        // By name.
        "https://private.example.test/",
        "https://PRIVATE.example.test./",
        "https://mixed.example.test/",
        "https://metadata.example.test/",
        "https://localhost/",
        "https://printer.local/",
        // By address, as one may write it.
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.1.1:8443/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a00:1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
    ];
    for url in refused {
        let (status, problem) = tenant.api.post("/v1/endpoints", &json!({"name": "x", "url": url})).await.unwrap();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url} was accepted: {problem}");
        assert_eq!(problem["field"], "/url", "{url}: {problem}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    assert!(tenant.list("/v1/endpoints").await.is_empty());

    // What is public is accepted, and so is a name that does not resolve yet.
    for url in ["https://public.example.test/hook", "https://later.example.test/"] {
        let created = tenant.create_endpoint(&json!({"name": "x", "url": url})).await;
        let path = format!("/v1/endpoints/{}", created["id"].as_str().unwrap());
        let change = json!({"url": "https://private.example.test/"});
        let (status, problem) = tenant.api.patch(&path, &change).await.unwrap();
        assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/url")), "{problem}");
        assert_eq!(tenant.api.get(&path).await.unwrap().1["url"], url, "a refused change changes nothing");
    }
}
