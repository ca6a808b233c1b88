//! Against a registry of a few lines, which answers as Confluent's does.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};

mod tls;

use super::{AvroError, RegistryConfig, SchemaId, SchemaRegistry, cloudevent_to_json};

/// A registry under `/base`.
struct Fake {
    url: String,
    answers: Arc<Mutex<HashMap<String, (u16, String)>>>,
    /// The heads of the requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        let fake = Self { url, answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (fake.answers.clone(), fake.asked.clone());
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                answer_one(connection, &answers, &asked).await;
            }
        });
        fake
    }

    fn answer(&self, path: &str, status: u16, body: &Value) {
        self.answers.lock().insert(format!("/base{path}"), (status, body.to_string()));
    }

    fn forget(&self, path: &str) {
        self.answers.lock().remove(&format!("/base{path}"));
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }

    fn config(&self) -> RegistryConfig {
        RegistryConfig { url: Some(self.url.clone()), ..RegistryConfig::default() }
    }

    fn registry(&self) -> SchemaRegistry {
        SchemaRegistry::new(&self.config()).unwrap()
    }
}

/// Answers the one request of a connection.
async fn answer_one(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    answers: &Mutex<HashMap<String, (u16, String)>>,
    asked: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = connection.read_u8().await else { break };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let Some(path) = head.split(' ').nth(1).map(str::to_owned) else { return };
    asked.lock().push(head);
    let missing = (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string());
    let (status, body) = answers.lock().get(&path).cloned().unwrap_or(missing);
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let _ = connection.write_all(answer.as_bytes()).await;
    let _ = connection.shutdown().await;
}

const ORDER: &str = r#"{"type": "record", "name": "com.acme.Order", "fields": [{"name": "id", "type": "long"}]}"#;

/// An order with id 3, in Confluent's wire format.
fn order(schema: u32) -> Vec<u8> {
    [&[0], &schema.to_be_bytes()[..], &[6]].concat()
}

#[tokio::test]
async fn a_record_is_decoded_with_its_schema_which_is_fetched_once() {
    let fake = Fake::start().await;
    fake.answer("/schemas/ids/7", 200, &json!({"schema": ORDER}));
    let config = RegistryConfig { username: Some("u".to_owned()), password: Some("p".to_owned()), ..fake.config() };
    let registry = SchemaRegistry::new(&config).unwrap();
    for _ in 0..3 {
        let order = registry.to_json(&order(7)).await.unwrap();
        assert_eq!((&order.json[..], &*order.name), (&br#"{"id":3}"#[..], "com.acme.Order"));
    }
    assert_eq!(fake.asked(), 1);
    let credentials = format!("authorization: Basic {}", STANDARD.encode("u:p"));
    assert!(fake.asked.lock()[0].to_lowercase().contains(&credentials.to_lowercase()));
    assert!(!format!("{config:?}{registry:?}").contains("\"p\""), "the password is not shown");
}

#[tokio::test]
async fn references_are_fetched_with_what_they_refer_to() {
    let fake = Fake::start().await;
    let record = |name: &str, field: &str| {
        format!(r#"{{"type": "record", "name": "{name}", "fields": [{{"name": "f", "type": {field}}}]}}"#)
    };
    let reference = |subject: &str| json!([{"name": "any", "subject": subject, "version": 1}]);
    let of = |schema: String, to: &str| json!({"schema": schema, "schemaType": "AVRO", "references": reference(to)});
    fake.answer("/schemas/ids/1", 200, &of(record("A", "\"B\""), "b/b"));
    // Round in a circle, and with a name that has to be escaped.
    fake.answer("/subjects/b%2Fb/versions/1", 200, &of(record("B", "[\"null\", \"C\"]"), "c"));
    fake.answer("/subjects/c/versions/1", 200, &of(record("C", "\"int\""), "b/b"));
    let json = fake.registry().to_json(&[0, 0, 0, 0, 1, 2, 4]).await.unwrap().json;
    assert_eq!(json, r#"{"f":{"f":{"f":2}}}"#);
    assert_eq!(fake.asked(), 3);

    fake.forget("/subjects/c/versions/1");
    let Err(AvroError::Corrupt(why)) = fake.registry().to_json(&[0, 0, 0, 0, 1, 2, 4]).await else { panic!() };
    assert!(why.contains("version 1 of c"), "{why}");
}

#[tokio::test]
async fn what_the_registry_does_not_know_or_is_not_avro_is_said_without_asking_twice() {
    let fake = Fake::start().await;
    let registry = fake.registry();
    for _ in 0..2 {
        assert_eq!(registry.to_json(&order(9)).await, Err(AvroError::UnknownSchema(SchemaId::Registry(9))));
    }
    assert_eq!(fake.asked(), 1);
    let beyond = registry.to_json(&order(u32::MAX)).await;
    assert_eq!((beyond, fake.asked()), (Err(AvroError::UnknownSchema(SchemaId::Registry(u32::MAX))), 1));
    fake.answer("/schemas/ids/8", 200, &json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"}));
    fake.answer("/schemas/ids/6", 200, &json!({"schema": "{\"type\": 7}"}));
    for (id, said) in [(8, "is of type PROTOBUF"), (6, "7 is no type")] {
        let Err(AvroError::Corrupt(why)) = registry.to_json(&order(id)).await else { panic!("{said}") };
        assert!(why.contains(said) && why.contains(&format!("id {id}")), "{why}");
    }
    for neither in [&b"{}"[..], b"", &[0, 0, 0], &[0xC3, 0x01, 1]] {
        assert!(matches!(registry.to_json(neither).await, Err(AvroError::Corrupt(_))), "{neither:?}");
    }
}

#[tokio::test]
async fn a_registry_that_can_not_answer_is_waited_for_and_schemas_that_are_known_need_none() {
    let fake = Fake::start().await;
    fake.answer("/schemas/ids/1", 200, &json!({"schema": ORDER}));
    let registry = fake.registry();
    registry.to_json(&order(1)).await.unwrap();
    for (status, body, said) in [
        (503, json!("starting"), "answers 503"),
        (401, json!({"error_code": 401}), "username and password"),
        (404, json!({"error_code": 404}), "is its URL right?"),
        (502, json!("a long page ".repeat(1 << 18)), "answers 502"),
        (200, json!("<html>"), "is its URL right?"),
    ] {
        fake.answer("/schemas/ids/2", status, &body);
        let registry = fake.registry();
        let Err(AvroError::Unavailable(why)) = registry.to_json(&order(2)).await else { panic!("{said}") };
        assert!(why.contains(said) && why.contains("127.0.0.1"), "{why}");
    }
    fake.answer("/schemas/ids/2", 500, &json!({"error_code": 50001}));
    assert!(matches!(registry.to_json(&order(2)).await, Err(AvroError::Unavailable(_))));
    let asked = fake.asked();
    assert!(matches!(registry.to_json(&order(2)).await, Err(AvroError::Unavailable(_))));
    assert_eq!(fake.asked(), asked, "it is left alone for a moment");
    registry.to_json(&order(1)).await.unwrap();
    fake.answer("/schemas/ids/2", 200, &json!({"schema": ORDER}));
    registry.available().await;
    registry.to_json(&order(2)).await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_an_outage() {
    let config = RegistryConfig { url: Some("http://127.0.0.1:1".to_owned()), ..RegistryConfig::default() };
    let down = SchemaRegistry::new(&config).unwrap().to_json(&order(1)).await;
    let Err(AvroError::Unavailable(why)) = down else { panic!("{down:?}") };
    assert!(why.contains("does not answer"), "{why}");
}

/// An order with id 3 in single-object encoding.
fn single_object() -> Vec<u8> {
    let schema: serde_avro_fast::Schema = ORDER.parse().unwrap();
    [&[0xC3, 0x01], &schema.rabin_fingerprint()[..], &[6]].concat()
}

#[tokio::test]
async fn single_objects_are_decoded_with_schemas_of_files_that_may_refer_to_each_other() {
    let folder = std::env::temp_dir().join(format!("postrider-avsc-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let list = r#"{"type": "record", "name": "List", "fields": [{"name": "all", "type": {"type": "array", "items": "com.acme.Order"}}]}"#;
    let config = RegistryConfig {
        schema_files: vec![write("list.avsc", list), write("order.avsc", ORDER)],
        ..Default::default()
    };
    let registry = SchemaRegistry::new(&config).unwrap();
    assert_eq!(registry.to_json(&single_object()).await.unwrap().json, r#"{"id":3}"#);
    let unknown = registry.single_object(&[0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8]).await;
    assert!(matches!(unknown, Err(AvroError::UnknownSchema(SchemaId::Fingerprint(_)))), "{unknown:?}");
    assert!(unknown.unwrap_err().to_string().contains("fingerprint 0102030405060708"));
    let without_registry = registry.to_json(&order(1)).await.unwrap_err().to_string();
    assert!(without_registry.contains("no schema registry is configured"), "{without_registry}");

    let bad = RegistryConfig { schema_files: vec![write("list.avsc", list)], ..Default::default() };
    let said = SchemaRegistry::new(&bad).unwrap_err().to_string();
    assert!(said.contains("list.avsc") && said.contains("com.acme.Order is not defined"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn single_objects_are_decoded_with_any_version_of_a_subject() {
    let fake = Fake::start().await;
    fake.answer("/subjects/orders-value/versions", 200, &json!([1]));
    fake.answer("/subjects/orders-value/versions/1", 200, &json!({"schema": "\"string\""}));
    let subjects = ["orders-value", "none-yet"].map(str::to_owned).into();
    let config = RegistryConfig { subjects, unknown_for: Duration::ZERO, ..fake.config() };
    let registry = SchemaRegistry::new(&config).unwrap();
    assert!(matches!(registry.to_json(&single_object()).await, Err(AvroError::UnknownSchema(_))));
    fake.answer("/subjects/orders-value/versions", 200, &json!([1, 2]));
    fake.answer("/subjects/orders-value/versions/2", 200, &json!({"schema": ORDER}));
    assert_eq!(registry.to_json(&single_object()).await.unwrap().json, r#"{"id":3}"#);
    let asked = fake.asked();
    registry.to_json(&single_object()).await.unwrap();
    assert_eq!(fake.asked(), asked);
}

#[tokio::test]
async fn a_schema_is_not_unknown_because_another_was_a_moment_ago() {
    let fake = Fake::start().await;
    fake.answer("/subjects/orders-value/versions", 200, &json!([]));
    let registry =
        SchemaRegistry::new(&RegistryConfig { subjects: vec!["orders-value".to_owned()], ..fake.config() }).unwrap();
    let unknown = [0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8];
    for _ in 0..2 {
        assert!(matches!(registry.to_json(&unknown).await, Err(AvroError::UnknownSchema(_))));
        assert_eq!(fake.asked(), 1, "it is believed to be unknown for a while");
    }
    fake.answer("/subjects/orders-value/versions", 200, &json!([1]));
    fake.answer("/subjects/orders-value/versions/1", 200, &json!({"schema": ORDER}));
    assert_eq!(registry.to_json(&single_object()).await.unwrap().json, r#"{"id":3}"#);
}

#[tokio::test]
async fn schemas_and_what_they_refer_to_have_a_bound() {
    let fake = Fake::start().await;
    let long = format!("{{\"type\": \"string\", \"doc\": \"{}\"}}", "x".repeat(1 << 20));
    let reference = |number: u32| json!([{"name": "any", "subject": "s", "version": number}]);
    let schema = |number: u32| json!({"schema": long, "references": reference(number)});
    fake.answer("/schemas/ids/1", 200, &schema(1));
    for number in 1..20 {
        fake.answer(&format!("/subjects/s/versions/{number}"), 200, &schema(number + 1));
    }
    fake.answer("/schemas/ids/2", 200, &json!({"schema": "x".repeat(3 << 20)}));
    let registry = fake.registry();
    for (id, asked) in [(1, 8), (2, 9)] {
        let Err(AvroError::Corrupt(why)) = registry.to_json(&order(id)).await else { panic!("{id}") };
        assert!(why.contains("has more than"), "{why}");
        assert_eq!(fake.asked(), asked);
    }
}

#[test]
fn a_configuration_that_can_not_work_is_refused() {
    let url = |url: &str| RegistryConfig { url: Some(url.to_owned()), ..RegistryConfig::default() };
    let no_file = RegistryConfig { ca_file: Some("/nowhere.pem".into()), ..url("https://registry") };
    for (config, said) in [(url("registry:8081"), "url"), (url("://"), "url"), (no_file, "ca_file: /nowhere.pem")] {
        let why = SchemaRegistry::new(&config).unwrap_err().to_string();
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn a_cloudevent_in_its_avro_format_needs_no_registry() {
    let event = cloudevent_to_json(&[2, 4, b'i', b'd', 6, 2, b'1', 0, 2]).unwrap();
    assert_eq!((&event.json[..], &*event.name), (&br#"{"id":"1"}"#[..], "io.cloudevents.CloudEvent"));
    assert!(matches!(cloudevent_to_json(b"{}"), Err(AvroError::Corrupt(_))));
}
