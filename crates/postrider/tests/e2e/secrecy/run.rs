//! A run in which everything that has a secret is used, and everything fails that could show one.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use postrider_testkit::{Behaviour, DnsServer, Receiver, eventually, free_port};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    forms::{Secret, brought, random_text},
    hearing::{Ear, Heard, Hearing},
    issuer::Issuer,
    reading::read_scopes,
    wrongs,
};
use crate::support::{Context, Deployment, LIMIT, Tenant};

/// What the receiver of this run is called: one that a chat's hooks could have.
const HOST: &str = "hooks.example.test";
const NO_HOST: &str = "nowhere.example.test";

/// A deployment, whom its API knows, and what was heard of it.
pub struct Run {
    pub deployment: Deployment,
    pub hearing: Hearing,
    pub tenant: Tenant,
    /// May do everything.
    pub writer: Ear,
    /// May see everything that is no secret, and change nothing.
    pub reader: Ear,
    pub operator: Ear,
    /// Endpoints by what they are for.
    pub endpoints: BTreeMap<&'static str, Value>,
    /// Other ids, by where they stand in a path.
    pub ids: BTreeMap<&'static str, Vec<String>>,
    issuer: Issuer,
    receiver: Receiver,
    /// Speaks no TLS.
    plain: Receiver,
    client_identity: (String, String),
    _dns: DnsServer,
}

impl Run {
    /// Starts it, with secrets in its configuration and a log of everything.
    pub async fn start(context: &Context, database: &str) -> Self {
        let (issuer, dns) = (Issuer::start().await, DnsServer::start().await.unwrap());
        dns.set(HOST, &["127.0.0.1".parse().unwrap()]);
        let password = random_text(18);
        let login = database.replacen("//postgres@", &format!("//postrider:{password}@"), 1);
        let configuration = format!(
            "{}[api]\nlockout_bad_keys = 0\n[log]\nlevel = \"trace\"\n[egress]\ndns_servers = [\"{}\"]\n[postgres]\nurl = \"{login}\"\n",
            issuer.configuration(),
            dns.address()
        );
        let mut deployment = Deployment::prepare_on(context, "secrecy", database, &configuration).await;
        let mut hearing = Hearing::default();
        hearing.secrets.push(Secret::new("the database's password", &password));
        let settings: toml::Table = deployment.settings.to_text().parse().unwrap();
        let master_key = settings["security"]["master_keys"].as_str().unwrap().rsplit(':').next().unwrap();
        hearing.secrets.push(Secret::new("the master key", master_key));
        deployment.start_all().await;

        let tenant = deployment.tenant().await;
        let operator = Ear { api: deployment.operator(), is_writer: false };
        let writer = Ear { api: tenant.api.clone(), is_writer: true };
        hearing.secrets.push(Secret::new("the operator's key", deployment.operator_key()));
        hearing.secrets.push(Secret::new("the tenant's key", &tenant.key));
        let scopes = read_scopes().await;
        let made = hearing.make(&writer, "/v1/api-keys", &json!({"name": "r", "scopes": scopes}), "key", None).await;
        let reader = Ear { api: tenant.api.with_key(made["key"].as_str().unwrap()), is_writer: false };
        Self {
            receiver: deployment.receiver_named(&[HOST]).await,
            plain: Receiver::start().unwrap(),
            client_identity: context.environment.ca().await.client_identity("a sender").unwrap(),
            ids: BTreeMap::from([("/v1/api-keys/{id}", vec![made["id"].as_str().unwrap().to_owned()])]),
            endpoints: BTreeMap::new(),
            _dns: dns,
            deployment,
            hearing,
            tenant,
            writer,
            reader,
            operator,
            issuer,
        }
    }

    /// Does it all.
    pub async fn go(&mut self) {
        self.make_endpoints().await;
        let tail = self.tail();
        self.use_keys().await;
        self.change_endpoints().await;
        self.deliver().await;
        wrongs::ask(self).await;
        self.send_tests().await;
        self.change_secrets().await;
        self.replay().await;
        let (_, watched) = tail.ends().await;
        self.heard("tail", watched);
        self.commands().await;
        self.read().await;
    }

    /// An id of an endpoint.
    pub fn endpoint(&self, name: &str) -> &str {
        self.endpoints[name]["id"].as_str().unwrap()
    }

    /// A path and a query as chat hooks have them: who knows them may post.
    pub fn secret_path(&mut self, of: &str) -> String {
        let (part, token) = (random_text(18), random_text(18));
        self.hearing.secrets.push(Secret::of_url(&format!("the path of {of}"), &part));
        self.hearing.secrets.push(Secret::of_url(&format!("the query of {of}"), &token));
        format!("/services/T01234567/{part}?token={token}")
    }

    /// A text that is a secret from now on.
    pub fn secret(&mut self, name: &str) -> String {
        let text = random_text(18);
        self.hearing.secrets.push(Secret::new(name, &text));
        text
    }

    /// Keeps what somebody else is shown who may not see a URL.
    pub fn heard(&mut self, what: &str, text: String) {
        assert!(!text.is_empty(), "{what} says nothing");
        self.hearing.heard.push(Heard { what: what.to_owned(), text, may_have_urls: false });
    }

    async fn make(&mut self, name: &'static str, url: &str, more: &Value, key: Option<&str>) {
        let mut input = json!({"name": name, "url": url, "event_types": ["*"], "timeout_ms": 1000, "retry": {"delays_seconds": []}});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.hearing.make(&self.writer, "/v1/endpoints", &input, "secret", key).await;
        if key.is_some() {
            let again = self.hearing.make(&self.writer, "/v1/endpoints", &input, "none", key).await;
            assert_eq!((&again["id"], &again["secret"]), (&made["id"], &Value::Null));
        }
        self.endpoints.insert(name, made);
    }

    /// An endpoint at the receiver, which behaves so there.
    async fn make_at_receiver(&mut self, name: &'static str, behaviour: Behaviour, more: &Value) {
        let path = self.secret_path(name);
        let url = self.at_receiver(&path, behaviour);
        self.make(name, &url, more, Some(&format!("make-{name}"))).await;
    }

    fn at_receiver(&self, path: &str, behaviour: Behaviour) -> String {
        self.receiver.behave(path.split('?').next().unwrap(), behaviour);
        format!("https://{HOST}:{}{path}", self.receiver.address().port())
    }

    async fn make_endpoints(&mut self) {
        let (token, key) = (self.secret("a bearer token"), self.secret("an API key of a receiver"));
        let password = self.secret("a password");
        let basic = BASE64_STANDARD.encode(format!("postrider:{password}"));
        let (certificate, private_key) = self.client_identity.clone();
        self.hearing.secrets.extend(Secret::private_key("the client's key", &private_key));
        let [own, own_pair] = ["whsec_", "whsk_"].map(brought);
        self.hearing.secrets.extend(Secret::signing("a brought secret", &own));
        self.hearing.secrets.extend(Secret::signing("a brought pair", &own_pair));

        let echo = json!({
            "secret": own,
            "headers": {"Authorization": format!("Bearer {token}"), "X-Team": key, "Cookie": format!("session={key}")},
            "client_certificate": {"certificate": certificate, "private_key": private_key},
        });
        self.make_at_receiver("echo", Behaviour::Echo(500), &echo).await;
        let basic = json!({"headers": {"Authorization": format!("Basic {basic}")}, "verification": "cloudevents"});
        self.make_at_receiver("welcome", Behaviour::Welcome, &basic).await;
        let retried = json!({"secret": own_pair, "retry": {"delays_seconds": [1, 1]}});
        self.make_at_receiver("retried", Behaviour::Echo(503), &retried).await;
        self.make_at_receiver("pair", Behaviour::Echo(200), &json!({"secret_kind": "ed25519"})).await;
        let headers = json!({"headers": {"X-Token": token}, "signing": "x_webhook"});
        self.make_at_receiver("held", Behaviour::Echo(410), &headers).await;
        self.make_at_receiver("hanging", Behaviour::Hang, &json!({})).await;
        let path = self.secret_path("redirect");
        let url = self.at_receiver(&path, Behaviour::Redirect(path.clone()));
        self.make("redirect", &url, &json!({}), None).await;
        for (name, host) in [
            ("unnamed", NO_HOST.to_owned()),
            ("closed", format!("127.0.0.1:{}", free_port().unwrap())),
            ("no TLS", self.plain.address().to_string()),
        ] {
            let url = format!("https://{host}{}", self.secret_path(name));
            self.make(name, &url, &json!({"headers": {"X-Token": token}}), None).await;
        }
        self.make_of_template().await;
    }

    /// Of a template whose secret parameters are in URL, header and login.
    async fn make_of_template(&mut self) {
        let parameter = |name: &str| json!({"name": name, "description": name, "secret": true, "example": "example"});
        let template = json!({
            "name": "desk",
            "parameters": [parameter("room"), parameter("key"), parameter("password")],
            "url": format!("https://{HOST}:{}/desk/{{{{room}}}}/x?key={{{{key}}}}", self.receiver.address().port()),
            "method": "PUT",
            "auth": {"basic": {"username": "postrider", "password": "{{password}}"}},
            "headers": {"X-Desk": "desk {{key}}"},
            "event_types": ["*"],
            "mapping": {"path": ["$.data.id"], "body": {"text": "x"}},
        });
        let (status, made) =
            self.hearing.ask(&self.writer, Method::POST, "/v1/templates", Some(&template.to_string())).await;
        assert_eq!(status, 201, "{made}");
        let id = made["id"].as_str().unwrap().to_owned();
        let values = [("room", self.secret("a room")), ("key", self.secret("a desk's key"))];
        let mut parameters = BTreeMap::from(values);
        parameters.insert("password", self.secret("a desk's password"));
        let input = json!({ "parameters": parameters });
        self.receiver.behave(&format!("/desk/{}/x/e-1", parameters["room"]), Behaviour::Echo(500));
        // What a template's secret parameters make of a URL is shown to those who may change endpoints.
        self.hearing
            .secrets
            .iter_mut()
            .filter(|it| ["a room", "a desk's key"].contains(&&*it.name))
            .for_each(|it| it.is_of_url = true);
        let path = format!("/v1/templates/{id}");
        let mut render = input.clone();
        render["event"] = json!({"type": "order.created", "data": {"id": "e-1"}});
        let render = render.to_string();
        let (status, rendered) =
            self.hearing.ask(&self.reader, Method::POST, &format!("{path}/render"), Some(&render)).await;
        assert_eq!(status, 200, "{rendered}");
        let made = self.hearing.make(&self.writer, &format!("{path}/endpoints"), &input, "secret", Some("desk")).await;
        self.endpoints.insert("desk", made);
        self.ids.insert("/v1/templates/{id}", vec![id]);
    }

    /// Keys that are made, asked for again, rotated and revoked; tokens; and some of each that do not work.
    async fn use_keys(&mut self) {
        let input = json!({"name": "shown once", "scopes": ["endpoints:read"]});
        let made = self.hearing.make(&self.writer, "/v1/api-keys", &input, "key", Some("make-key")).await;
        let again = self.hearing.make(&self.writer, "/v1/api-keys", &input, "none", Some("make-key")).await;
        assert_eq!(again["key"], Value::Null);
        let (id, text) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
        let path = format!("/v1/api-keys/{id}");
        let rotate = format!("{path}/rotate");
        let rotated = self.hearing.make(&self.writer, &rotate, &json!({}), "key", Some("rotate-key")).await;
        self.hearing.make(&self.writer, &rotate, &json!({}), "none", Some("rotate-key")).await;
        let tokens = ["endpoints:read", "tenants:read"].map(|scope| self.issuer.sign(&self.tenant.id, scope));
        self.hearing.secrets.extend(tokens.iter().map(|token| Secret::new("a token", token)));
        let signature = tokens[0].rsplit('.').next().unwrap();
        self.hearing.secrets.push(Secret::new("a token's signature", signature));

        let (status, _) = self.hearing.ask(&self.writer, Method::DELETE, &path, None).await;
        assert_eq!(status, 204);
        let with = |key: &str| Ear { api: self.tenant.api.with_key(key), is_writer: false };
        for (wanted, path, ear) in [
            (200, "/v1/endpoints", with(&tokens[0])),
            (403, "/v1/tenants", with(&tokens[1])),
            (401, "/v1/endpoints", with(&format!("{}x", tokens[0]))),
            (401, "/v1/endpoints", with(text)),
            (401, "/v1/endpoints", with(rotated["key"].as_str().unwrap())),
            (401, "/v1/endpoints", with(&format!("{}x", self.tenant.key))),
        ] {
            let (status, answer) = self.hearing.ask(&ear, Method::GET, path, None).await;
            assert_eq!(status, wanted, "{answer}");
        }
        self.ids.entry("/v1/api-keys/{id}").or_default().push(id.to_owned());
    }

    async fn change_endpoints(&mut self) {
        let value = self.secret("a header's new value");
        let path = format!("/v1/endpoints/{}", self.endpoint("echo"));
        let patch = json!({"headers": {"X-Team": value}}).to_string();
        let (status, patched) =
            self.hearing.ask_keyed(&self.writer, Method::PATCH, &path, Some(&patch), Some("patch")).await;
        assert_eq!(status, 200, "{patched}");
        let path = format!("/v1/endpoints/{}", self.endpoint("pair"));
        let replacement = json!({"name": "pair", "url": self.endpoints["pair"]["url"], "headers": {"X-Team": value}});
        let (status, replaced) =
            self.hearing.ask(&self.writer, Method::PUT, &path, Some(&replacement.to_string())).await;
        assert_eq!(status, 200, "{replaced}");
        self.tenant.pause(self.endpoint("held")).await;
    }

    /// Two events for all of them, and what comes of these.
    async fn deliver(&mut self) {
        self.deployment.synced().await;
        for _ in 0..2 {
            let event = json!({"type": "order.created", "id": "e-1", "data": {"id": "e-1"}}).to_string();
            let (status, body) =
                self.hearing.ask_keyed(&self.writer, Method::POST, "/v1/events", Some(&event), Some("publish")).await;
            assert_eq!(status, 202, "{body}");
        }
        let (mut messages, mut events) = (Vec::new(), Vec::new());
        for (name, endpoint) in &self.endpoints {
            let query = format!("endpoint_id={}", endpoint["id"].as_str().unwrap());
            let delivery = self.tenant.deliveries(&query, 1).await.remove(0);
            let message = delivery["message_id"].as_str().unwrap().to_owned();
            let (path, is_held) = (format!("/v1/deliveries/{message}"), ["held", "welcome"].contains(name));
            eventually(LIMIT, &format!("an attempt at '{name}'"), async || {
                let run = self.tenant.api.get(&path).await.unwrap().1["runs"][0].clone();
                let is_there = run["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty());
                (is_there || (is_held && run["delivery"]["status"] == "held")).then_some(())
            })
            .await;
            messages.push(message);
            events.push(delivery["event_id"].as_str().unwrap().to_owned());
        }
        events.dedup();
        self.ids.insert("/v1/events/{event_id}", events);
        self.ids.insert("/v1/deliveries/{message_id}", messages);
    }

    /// Tests and questions, some of which nobody answers; and signatures that are checked with wrong secrets.
    async fn send_tests(&mut self) {
        let ids: Vec<(&str, String)> =
            self.endpoints.keys().map(|name| (*name, self.endpoint(name).to_owned())).collect();
        // Who may test an endpoint need not be shown its URL.
        let tester = Ear { api: self.writer.api.clone(), is_writer: false };
        for (name, id) in &ids {
            let path = format!("/v1/endpoints/{id}");
            let test = json!({"event_type": "order.created", "data": {"id": "e-1"}}).to_string();
            let (status, sent) = self.hearing.ask(&tester, Method::POST, &format!("{path}/test"), Some(&test)).await;
            assert_eq!(status, 200, "{name}: {sent}");
            for method in ["challenge", "cloudevents"].iter().filter(|_| *name != "hanging") {
                let question = json!({ "method": method }).to_string();
                self.hearing.ask(&self.writer, Method::POST, &format!("{path}/verify"), Some(&question)).await;
            }
        }
        let wrong = brought("whsec_");
        self.hearing.secrets.extend(Secret::signing("a wrong secret", &wrong));
        let headers = json!({"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"});
        for with in [json!({"secret": wrong}), json!({"endpoint_id": self.endpoint("echo")})] {
            let mut input = json!({"headers": headers, "body": "{}"});
            input.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            let input = input.to_string();
            let (_, verdict) = self.hearing.ask(&self.reader, Method::POST, "/v1/verify-signature", Some(&input)).await;
            assert_ne!(verdict["valid"], true, "{verdict}");
        }
    }

    /// Secrets that are rotated, brought anew, shown and ended.
    async fn change_secrets(&mut self) {
        let own = brought("whsec_");
        self.hearing.secrets.extend(Secret::signing("a secret brought later", &own));
        let secrets = |name: &str| format!("/v1/endpoints/{}/secrets", self.endpoint(name));
        let (welcome, pair) = (secrets("welcome"), secrets("pair"));
        let rotate = |path: &str| format!("{path}/rotate");
        let given = json!({"secret": own});
        self.hearing.make(&self.writer, &rotate(&welcome), &given, "secret", Some("rotate")).await;
        self.hearing.make(&self.writer, &rotate(&welcome), &given, "none", Some("rotate")).await;
        self.hearing.make(&self.writer, &rotate(&welcome), &json!({}), "secret", None).await;
        self.hearing.make(&self.writer, &rotate(&pair), &json!({"kind": "ed25519"}), "secret", None).await;
        let listed = self.tenant.list(&welcome).await;
        let newest = format!("{welcome}/{}", listed[0]["id"].as_str().unwrap());
        let oldest = format!("{welcome}/{}", listed[2]["id"].as_str().unwrap());
        self.hearing.make(&self.writer, &format!("{newest}/reveal"), &json!({}), "secret", Some("reveal")).await;
        self.hearing.make(&self.writer, &format!("{newest}/reveal"), &json!({}), "none", Some("reveal")).await;
        self.hearing.make(&self.writer, &format!("{oldest}/expire"), &json!({}), "none", None).await;
        let held = format!("/v1/endpoints/{}", self.endpoint("held"));
        self.tenant.resume(held.rsplit('/').next().unwrap()).await;
        eventually(LIMIT, "the endpoint to be gone", async || {
            let endpoint = self.tenant.api.get(&held).await.unwrap().1;
            (endpoint["disabled_reason"] == "gone").then_some(())
        })
        .await;
    }

    /// What failed for good is sent again, and fails again.
    async fn replay(&mut self) {
        let echo = self.endpoint("echo").to_owned();
        let letters = format!("/v1/dead-letters?endpoint_id={echo}");
        let letter = eventually(LIMIT, "a dead letter", async || self.tenant.list(&letters).await.pop()).await;
        let message = letter["message_id"].as_str().unwrap();
        let redrive = json!({ "endpoint_id": echo }).to_string();
        let (status, job) =
            self.hearing.ask(&self.writer, Method::POST, "/v1/dead-letters/redrive", Some(&redrive)).await;
        assert_eq!(status, 202, "{job}");
        let (id, path) = (job["id"].as_str().unwrap().to_owned(), format!("/v1/deliveries/{message}"));
        eventually(LIMIT, "what was sent again to fail again", async || {
            let runs = self.tenant.api.get(&path).await.unwrap().1["runs"].clone();
            (runs.as_array()?.iter().filter(|run| run["delivery"]["status"] == "failed").count() == 2).then_some(())
        })
        .await;
        self.ids.insert("/v1/dead-letters/{message_id}", vec![message.to_owned()]);
        self.ids.insert("/v1/replays/{id}", vec![id]);
    }
}
