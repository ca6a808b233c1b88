//! Signing secrets: rotated, brought along, listed, ended, revealed and published.

use std::time::Duration;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use poem::http::Method;
use postrider_domain::{EntityId, endpoint::purpose};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture, TenantClient};
use crate::{clock, rotation::Rotation};

const DAY: Duration = Duration::from_hours(24);

/// A secret of 32 bytes that look random.
fn own(seed: u8) -> String {
    let key: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(n).wrapping_mul(37).wrapping_add(seed ^ n)).collect();
    format!("whsec_{}", BASE64_STANDARD.encode(key))
}

async fn rotate(acme: &TenantClient<'_>, path: &str, input: Value) -> Answer {
    let answer = acme.post(&format!("{path}/secrets/rotate"), &input).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer
}

/// The texts that the data plane signs with, newest first, and whether each is to end.
async fn published(api: &Fixture) -> Vec<(String, bool)> {
    let (_, endpoint) = api.published_endpoint().await;
    let open = |secret: &postrider_domain::endpoint::EndpointSecret| {
        let entity = EntityId::from(&endpoint.id);
        let opened = api.key_ring.open(&secret.sealed, &endpoint.tenant, &entity, purpose::SECRET).expect("it opens");
        (String::from_utf8(opened.to_vec()).expect("text"), secret.expires_at.is_some())
    };
    endpoint.secrets.iter().map(open).collect()
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_one_before_until_its_grace_is_over() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    let first = made.body["secret"].as_str().expect("a secret").to_owned();

    let rotated = rotate(&acme, &path, json!({})).await;
    let second = rotated.body["secret"].as_str().expect("a secret").to_owned();
    assert_eq!((&rotated.body["status"], &rotated.body["kind"]), (&json!("current"), &json!("hmac")));
    assert_eq!(rotated.etag, acme.get(&path).await.etag, "it is the endpoint that changed");
    assert_eq!(published(&api).await, [(second.clone(), false), (first, true)]);
    let (_, endpoint) = api.published_endpoint().await;
    let left = endpoint.secrets[1].expires_at.expect("it ends").since(clock::now());
    assert!(left <= DAY && left + Duration::from_mins(5) > DAY, "a day, if nothing is said: {left:?}");

    let third = rotate(&acme, &path, json!({ "grace_seconds": 0 })).await;
    let third = third.body["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(published(&api).await, [(third, false)], "without grace only the new one signs");

    let list = acme.get(&format!("{path}/secrets")).await;
    let field = |name: &str| -> Vec<Value> {
        list.body["data"].as_array().expect("a list").iter().map(|secret| secret[name].clone()).collect()
    };
    assert_eq!(field("status"), ["current", "expired", "expired"], "{}", list.text);
    assert_eq!(field("version"), [3, 2, 1]);
    assert!(!list.text.contains("whsec_"), "a list shows no value: {}", list.text);
    let page = acme.get(&format!("{path}/secrets?limit=2")).await;
    let cursor = page.body["next_cursor"].as_str().expect("there is more");
    let rest = acme.get(&format!("{path}/secrets?limit=2&cursor={cursor}")).await;
    assert_eq!((&rest.body["data"][0]["version"], &rest.body["next_cursor"]), (&json!(1), &json!(null)));
}

#[tokio::test]
async fn a_secret_of_ones_own_is_taken_if_it_is_strong_and_new() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let input = json!({ "name": "hook", "url": "https://public.example.com/in", "secret": own(1) });
    let made = acme.post("/v1/endpoints", &input).await;
    assert_eq!((made.status, &made.body["secret"]), (201, &json!(own(1))), "{}", made.text);
    let path = format!("/v1/endpoints/{}", made.id());
    let rotated = rotate(&acme, &path, json!({ "secret": own(2), "grace_seconds": 604_800 })).await;
    assert_eq!(rotated.body["source"], "given");
    assert_eq!(published(&api).await, [(own(2), false), (own(1), true)]);

    let weak = format!("whsec_{}", BASE64_STANDARD.encode([7; 32]));
    let short = format!("whsec_{}", BASE64_STANDARD.encode([7; 20]));
    for (input, field) in [
        (json!({ "secret": own(1) }), "/secret"),
        (json!({ "secret": own(2) }), "/secret"),
        (json!({ "secret": weak }), "/secret"),
        (json!({ "secret": short }), "/secret"),
        (json!({ "secret": "hunter2" }), "/secret"),
        (json!({ "secret": own(3), "kind": "ed25519" }), "/secret"),
        (json!({ "grace_seconds": 604_801 }), "/grace_seconds"),
        (json!({ "kind": "rsa" }), "/kind"),
        (json!({ "grace": 1 }), "/grace"),
    ] {
        let answer = acme.post(&format!("{path}/secrets/rotate"), &input).await;
        answer.assert_problem(422, Some(field));
        let given = input["secret"].as_str().and_then(|text| text.strip_prefix("whsec_"));
        assert!(given.is_none_or(|key| !answer.text.contains(key)), "{}", answer.text);
    }
    assert_eq!(api.published_endpoint().await.0, 2, "nothing was changed");
}

#[tokio::test]
async fn a_secret_is_ended_before_its_time_but_not_the_current_one() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    rotate(&acme, &path, json!({})).await;
    let list = acme.get(&format!("{path}/secrets")).await.body;
    let id = |index: usize| list["data"][index]["id"].as_str().expect("an id").to_owned();
    let expire = async |id: &str| acme.post(&format!("{path}/secrets/{id}/expire"), &json!({})).await;

    expire(&id(0)).await.assert_problem(409, None);
    let ended = expire(&id(1)).await;
    assert_eq!((ended.status, &ended.body["status"]), (200, &json!("expired")), "{}", ended.text);
    assert_eq!(published(&api).await.len(), 1);
    let version = api.published_endpoint().await.0;
    assert_eq!(expire(&id(1)).await.status, 200, "again changes nothing");
    assert_eq!(api.published_endpoint().await.0, version);
    expire("sec_00000000000000000000000000").await.assert_problem(404, None);
}

#[tokio::test]
async fn revealing_takes_a_scope_of_its_own_and_is_written_down() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}/secrets", made.id());
    let id = acme.get(&path).await.body["data"][0]["id"].as_str().expect("an id").to_owned();
    let input = json!({ "name": "most", "scopes": ["endpoints:write", "secrets:read", "secrets:write"] });
    let key = acme.post("/v1/api-keys", &input).await.body["key"].as_str().expect("a key").to_owned();
    let reveal = format!("{path}/{id}/reveal");
    api.call(Method::POST, &reveal, &key, None, Some("{}")).await.assert_problem(403, None);
    assert_eq!(api.call(Method::GET, &path, &key, None, None).await.status, 200);

    let shown = acme.post(&reveal, &json!({})).await;
    assert_eq!((shown.status, &shown.body["secret"]), (200, &made.body["secret"]), "{}", shown.text);
    let audited = acme.get(&format!("/v1/audit-log?entity_id={}&action=endpoint.secret.reveal", made.id())).await;
    assert_eq!(audited.body["data"].as_array().map(Vec::len), Some(1), "{}", audited.text);
    assert!(audited.text.contains(&id) && !audited.text.contains("whsec_"), "{}", audited.text);

    let other = api.tenant("Other").await;
    other.post(&reveal, &json!({})).await.assert_problem(404, None);
    other.get(&path).await.assert_problem(404, None);
    other.post(&format!("{path}/rotate"), &json!({})).await.assert_problem(404, None);
}

#[tokio::test]
async fn the_public_half_of_an_ed25519_key_is_published_to_everybody_and_the_other_to_nobody() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    let keys = format!("/public-keys/{}/{}", acme.id, made.id());
    let read = async |path: &str| api.send(poem::Request::builder().uri_str(path).finish()).await;
    assert_eq!(read(&keys).await.body["keys"], json!([]), "a shared secret has no public half");

    let rotated = rotate(&acme, &path, json!({ "kind": "ed25519" })).await;
    assert_eq!(rotated.body["secret"], json!(null));
    let public = rotated.body["public_key"].as_str().expect("a public key").to_owned();
    let shown = read(&keys).await;
    assert_eq!(shown.body["keys"][0]["public_key"], public, "{}", shown.text);
    let x = BASE64_URL_SAFE_NO_PAD.decode(shown.body["keys"][0]["x"].as_str().expect("x")).expect("base64url");
    assert_eq!(format!("whpk_{}", BASE64_STANDARD.encode(x)), public);
    let signing = postrider_domain::signing::SigningSecret::parse(&published(&api).await[0].0).expect("a key");
    assert_eq!(signing.public_text().as_deref(), Some(public.as_str()));

    let id = rotated.body["id"].as_str().expect("an id");
    acme.post(&format!("{path}/secrets/{id}/reveal"), &json!({})).await.assert_problem(409, None);
    acme.patch(&path, &json!({ "signing": "x_webhook" })).await.assert_problem(422, Some("/signing"));
    rotate(&acme, &path, json!({ "kind": "hmac" })).await;
    assert_eq!(acme.patch(&path, &json!({ "signing": "x_webhook" })).await.status, 200);
    let refused = acme.post(&format!("{path}/secrets/rotate"), &json!({ "kind": "ed25519" })).await;
    refused.assert_problem(422, Some("/signing"));
    read(&format!("/public-keys/{}/ep_00000000000000000000000000", acme.id)).await.assert_problem(404, None);
    let other = api.tenant("Other").await;
    read(&format!("/public-keys/{}/{}", other.id, made.id())).await.assert_problem(404, None);
}

#[tokio::test]
async fn a_secret_changes_by_itself_when_its_schedule_says_so() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    let schedule = json!({ "secret_rotation": { "every_seconds": 86_400, "grace_seconds": 3_600 } });
    let shown = acme.patch(&path, &schedule).await;
    assert_eq!(shown.body["secret_rotation"], schedule["secret_rotation"], "{}", shown.text);
    let rotation = Rotation { pool: api.database.clone(), key_ring: api.key_ring.clone() };
    let rng = &mut clock::rng();

    assert_eq!(rotation.rotate_due(clock::now(), rng).await.expect("it works"), 0, "it is not due yet");
    let due = clock::now() + DAY;
    assert_eq!(rotation.rotate_due(due, rng).await.expect("it works"), 1);
    assert_eq!(rotation.rotate_due(due, rng).await.expect("it works"), 0, "once is enough");
    let (_, endpoint) = api.published_endpoint().await;
    assert_eq!(endpoint.secrets.len(), 2);
    assert_eq!(endpoint.secrets[1].expires_at, Some(due + Duration::from_hours(1)));
    let list = acme.get(&format!("{path}/secrets")).await.body;
    assert_eq!(list["data"][0]["source"], "scheduled");
    assert_eq!(list["data"][0]["created_by"], "postrider");

    for (value, field) in [
        (json!({ "every_seconds": 3_599 }), "/secret_rotation/every_seconds"),
        (json!({ "every_seconds": 3_600, "grace_seconds": 3_601 }), "/secret_rotation/grace_seconds"),
        (json!({ "every_seconds": 2_592_000, "grace_seconds": 604_801 }), "/secret_rotation/grace_seconds"),
    ] {
        acme.patch(&path, &json!({ "secret_rotation": value })).await.assert_problem(422, Some(field));
    }
    let ended = acme.patch(&path, &json!({ "secret_rotation": null })).await;
    assert_eq!((&ended.body["secret_rotation"], &ended.body["secret_rotates_at"]), (&json!(null), &json!(null)));
    assert_eq!(rotation.rotate_due(due + DAY * 2, rng).await.expect("it works"), 0);
}

#[tokio::test]
async fn a_secret_that_can_not_be_changed_keeps_no_other_from_its_turn() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    for _ in 0..9 {
        rotate(&acme, &path, json!({ "grace_seconds": 604_800 })).await;
    }
    let schedule = json!({ "secret_rotation": { "every_seconds": 86_400, "grace_seconds": 3_600 } });
    acme.patch(&path, &schedule).await;
    let other = api.tenant("Other").await;
    other.patch(&format!("/v1/endpoints/{}", other.endpoint().await.id()), &schedule).await;
    let rotation = Rotation { pool: api.database.clone(), key_ring: api.key_ring.clone() };
    let rotated = rotation.rotate_due_by(1, clock::now() + DAY, &mut clock::rng()).await;
    assert_eq!(rotated.expect("it works"), 1, "ten secrets sign for the first, which is all that may");
}

#[tokio::test]
async fn no_more_secrets_sign_at_a_time_than_a_request_has_room_for() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    for _ in 1..10 {
        rotate(&acme, &path, json!({})).await;
    }
    acme.post(&format!("{path}/secrets/rotate"), &json!({})).await.assert_problem(409, None);
    rotate(&acme, &path, json!({ "grace_seconds": 0 })).await;
    assert_eq!(published(&api).await.len(), 1);
}
