//! The layers together: what wins, and what each error names.

use std::{fs, path::PathBuf, time::Duration};

use postrider_domain::{Priority, Timestamp};
use postrider_kafka::{StartFrom, Topics};
use postrider_pipeline::matcher::FieldFrom;

use super::*;

/// A folder with a configuration file and an environment.
struct Setting {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Setting {
    fn with_file(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("p.toml"), text).expect("the file is written");
        Self { folder, environment: Environment::new() }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("p.toml")
    }

    fn load(&self) -> Result<Config, String> {
        load(Some(&self.path()), &self.environment)
            .map(|loaded| loaded.config)
            .map_err(|error| error.to_string().replace(&format!("{}/", self.folder.path().display()), ""))
    }
}

#[test]
fn defaults_stand_where_nothing_is_set() {
    let config = Setting::with_file("").load().unwrap();
    assert_eq!(config.kafka.topic_prefix, "postrider");
    assert_eq!(config.topics.partitions.get(), 6);
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.retry.tiers.len(), 7);
    assert!(!config.egress.allow_http);
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = Setting::with_file("[kafka]\ntopic_prefix = \"a\"\nclient_id = \"b\"\n")
        .variable("POSTRIDER__KAFKA__TOPIC_PREFIX", "c")
        .load()
        .unwrap();
    assert_eq!((config.kafka.topic_prefix.as_str(), config.kafka.client_id.as_str()), ("c", "b"));
}

#[test]
fn every_kind_of_key_can_come_from_the_environment() {
    let config = Setting::with_file("")
        .variable("POSTRIDER__INSTANCE_ID", "7")
        .variable("POSTRIDER__TOPICS__PARTITIONS", "12")
        .variable("POSTRIDER__EGRESS__ALLOW_HTTP", "true")
        .variable("POSTRIDER__EGRESS__ALLOWED_NETWORKS", "10.0.0.0/8, 127.0.0.0/8")
        .variable("POSTRIDER__EGRESS__DNS_SERVERS", "[\"127.0.0.1:5353\", \"::1\"]")
        .variable("POSTRIDER__RETRY__TIERS", "1s")
        .variable("POSTRIDER__SHUTDOWN__DRAIN", "3s")
        .variable("POSTRIDER__DISPATCHER__MAX_WAITING_BYTES", "8MiB")
        .variable("POSTRIDER__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL")
        .variable("POSTRIDER__SOURCES", "[{ name = \"orders\", topic = \"orders.v1\", format = \"json\" }]")
        .variable("UNRELATED", "x")
        .load()
        .unwrap();
    assert_eq!(config.instance_id.as_deref(), Some("7"));
    assert_eq!(config.topics.partitions.get(), 12);
    assert!(config.egress.allow_http);
    assert_eq!(config.egress.allowed_networks.len(), 2);
    assert_eq!(config.egress.dns_servers[1].0.to_string(), "[::1]:53");
    assert_eq!(config.retry.tiers, [Duration::from_secs(1)]);
    assert_eq!(config.shutdown.drain, Duration::from_secs(3));
    assert_eq!(config.dispatcher.max_waiting_bytes.in_memory(), 8 << 20);
    assert_eq!(config.kafka.properties.iter().collect::<Vec<_>>(), [("security.protocol", "SSL")]);
    assert_eq!(config.sources[0].format, SourceFormat::Json);
}

#[test]
fn an_error_in_the_file_names_its_line_and_key() {
    let cases = [
        ("\n[kafka]\nbootstrap_server = \"a\"\n", "p.toml:3: unknown key 'kafka.bootstrap_server'; did you mean"),
        ("[kafak]\n", "p.toml:1: unknown key 'kafak'; did you mean 'kafka'?"),
        ("[topics]\npartitions = 0\n", "p.toml:2: 'topics.partitions': invalid value: integer `0`"),
        ("[api]\n\nlisten = \"nowhere\"\n", "p.toml:3: 'api.listen': invalid socket address syntax"),
        ("[retry]\ntiers = [\"1s\", \"5x\"]\n", "p.toml:2: 'retry.tiers"),
        ("[retry]\ntiers = [\"1s\", \"1s\"]\n", "p.toml:2: retry.tiers "),
        ("[[sources]]\nname = \"a\"\n", "p.toml:1: sources.0.topic is missing: name the topic, or set"),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\ntenant = \"acme\"\n",
            "p.toml:4: 'sources[0].tenant': 'acme' is not",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\ndedupe = { window = \"0s\" }\n",
            "p.toml:4: sources.0.dedupe has a window of zero",
        ),
        ("[[sources]]\nname = \"events\"\ntopic = \"t\"\n", "p.toml:2: sources.0.name is 'events'"),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\ntopic_pattern = \"^t\"\n",
            "p.toml:4: sources.0.topic_pattern and topic are both set",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic_pattern = \"shop\"\n",
            "p.toml:3: sources.0.topic_pattern must begin with '^'",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic_pattern = \"^(\"\n",
            "p.toml:3: sources.0.topic_pattern is not a regular expression: error: unclosed group",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"postrider.dlq\"\n",
            "p.toml:3: sources.0.topic is 'postrider.dlq', one of Postrider's own topics",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\nstart = \"yesterday\"\n",
            "p.toml:4: 'sources[0].start': 'yesterday' is no place to start: write \"earliest\"",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\npriority = \"urgent\"\n",
            "p.toml:4: 'sources[0].priority': unknown variant `urgent`, expected one of",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\nformat = \"avro\"\n",
            "p.toml:4: sources.0.format is avro, which needs schemas: set schema_registry.url",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\n[sources.fields]\ntype = { pointer = \"a\" }\n",
            "p.toml:5: sources.0.fields.type has the pointer 'a': a JSON pointer is empty or begins with '/'",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\nfields.id = { constant = \"7\" }\n",
            "p.toml:4: sources.0.fields.id can't be a constant: use header, pointer, key",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\nfields.tenant = { constant = \"acme\" }\n",
            "p.toml:4: sources.0.fields.tenant is no tenant: 'acme' is not",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\nfields.time = { key = true }\n",
            "p.toml:4: sources.0.fields.time can't be a key: use header, pointer, timestamp",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\nfields.kind = { key = true }\n",
            "p.toml:4: unknown key 'sources[0].fields.kind'; known keys here: type, id",
        ),
        (
            "[[sources]]\nname = \"a\"\ntopic = \"t\"\nfields.type = { heder = \"x\" }\n",
            "p.toml:4: 'sources[0].fields.type",
        ),
        ("[topics]\nmin_insync_replicas = 2\n", "p.toml:2: topics.min_insync_replicas is 2, more than"),
        ("kafka = [\n", "p.toml:"),
        ("[kafka]\nproperties = { \"linger.ms\" = 1.5 }\n", "p.toml:2: 'kafka.properties"),
    ];
    for (file, beginning) in cases {
        let error = Setting::with_file(file).load().unwrap_err();
        assert!(error.starts_with(beginning), "{file:?}: {error}");
        assert!(!error.contains('\n'), "one line: {error:?}");
    }
}

#[test]
fn a_source_says_where_the_parts_of_its_events_are() {
    let file = r#"
        [schema_registry]
        url = "http://127.0.0.1:8081"
        [[sources]]
        name = "orders"
        topic_pattern = '^shop\.orders\.v\d$'
        format = "avro"
        start = "2026-01-31T12:00:00Z"
        priority = "low"
        [sources.fields]
        type = { header = "event-type" }
        id = { pointer = "/meta/id" }
        time = { timestamp = true }
        tenant = { constant = "ten_01hzzzzzzzzzzzzzzzzzzzzzzz" }
        subject = { key = true }
        payload = { pointer = "" }
    "#;
    let config = Setting::with_file(file).load().unwrap();
    let source = &config.sources[0];
    let fields = source.fields().unwrap();
    assert_eq!(fields.event_type, Some(FieldFrom::Header("event-type".to_owned())));
    assert_eq!(fields.id, Some(FieldFrom::Pointer("/meta/id".parse().unwrap())));
    assert_eq!((fields.time, fields.subject), (Some(FieldFrom::Timestamp), Some(FieldFrom::Key)));
    assert_eq!(fields.tenant, Some(FieldFrom::Constant("ten_01hzzzzzzzzzzzzzzzzzzzzzzz".to_owned())));
    assert_eq!((fields.previous, fields.payload), (None, Some(FieldFrom::Pointer("".parse().unwrap()))));
    let topics = source.selection(Topics::new("postrider")).unwrap();
    assert!(topics.has("shop.orders.v1") && !topics.has("shop.orders.v1.old"));
    assert_eq!(source.start.0, StartFrom::Time(Timestamp::parse_rfc3339("2026-01-31T12:00:00Z").unwrap()));
    assert_eq!(source.priority, Priority::Low);
    let registry = config.schema_registry.registry().unwrap();
    assert_eq!(registry.url.as_deref(), Some("http://127.0.0.1:8081"));
}

#[test]
fn a_registrys_password_is_read_from_its_file_and_needs_a_url() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "hunter2\n").unwrap();
    let section = format!("[schema_registry]\npassword_file = \"{}\"\n", secret.path().display());
    let setting = Setting::with_file(&format!("{section}url = \"https://registry:8081\"\nusername = \"u\"\n"));
    let config = setting.load().unwrap();
    assert_eq!(config.schema_registry.registry().unwrap().password.as_deref(), Some("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    let url = "url = \"https://registry:8081\"\n";
    for (file, missing) in [
        (section.clone(), "url"),
        ("[schema_registry]\nschema_files = [\"a.avsc\"]\nsubjects = [\"s\"]\n".to_owned(), "url"),
        (format!("{section}{url}"), "username"),
    ] {
        let setting = Setting::with_file(&file);
        let loaded = load(Some(&setting.path()), &setting.environment).unwrap();
        let error = loaded.schema_registry().unwrap_err().to_string();
        assert!(error.contains(&format!("p.toml:1: schema_registry.{missing} is missing")), "{error}");
    }
}

#[test]
fn an_error_in_the_environment_names_the_variable() {
    let cases = [
        ("POSTRIDER__KAFKA__BOOTSTRAP", "x", "unknown key 'kafka.bootstrap'; did you mean 'bootstrap_servers'?"),
        ("POSTRIDER__TOPICS__PARTITIONS", "many", "'topics.partitions': invalid type: string \"many\""),
        ("POSTRIDER__RETRY__TIERS", "1s,5x", "'retry.tiers"),
        ("POSTRIDER__KAFKA__CLIENT_ID__X", "x", "'kafka.client_id"),
        ("POSTRIDER__", "x", "names no key"),
    ];
    for (name, value, message) in cases {
        let error = Setting::with_file("").variable(name, value).load().unwrap_err();
        assert!(error.starts_with(&format!("environment variable {name}: {message}")), "{error}");
    }
}

#[test]
fn a_bad_value_from_the_environment_is_traced_to_its_variable() {
    let error = Setting::with_file("[kafka]\ntopic_prefix = \"fine\"\n")
        .variable("POSTRIDER__KAFKA__TOPIC_PREFIX", "not fine")
        .load()
        .unwrap_err();
    assert!(error.starts_with("environment variable POSTRIDER__KAFKA__TOPIC_PREFIX: kafka.topic_prefix "), "{error}");
}

#[test]
fn secrets_are_read_from_files() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "postgres://u:p@h/d\n").unwrap();
    let setting = Setting::with_file("")
        .variable("POSTRIDER__POSTGRES__URL_FILE", secret.path().to_str().unwrap())
        .variable("POSTRIDER__KAFKA__PROPERTIES_FILES__SASL_PASSWORD", secret.path().to_str().unwrap());
    let config = setting.load().unwrap();
    assert_eq!(config.postgres.url.unwrap().reveal(), "postgres://u:p@h/d");
    assert_eq!(config.kafka.properties.iter().next(), Some(("sasl.password", "postgres://u:p@h/d")));

    let error = setting.variable("POSTRIDER__POSTGRES__URL", "postgres://x").load().unwrap_err();
    assert!(error.contains("postgres.url_file and postgres.url are both set"), "{error}");
    let error = Setting::with_file("[security]\nmaster_keys_file = \"/nowhere\"\n").load().unwrap_err();
    assert!(error.starts_with("p.toml:2: security.master_keys_file names /nowhere, which can't be read"), "{error}");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let error = load(Some(std::path::Path::new("/nowhere/p.toml")), &Environment::new()).unwrap_err();
    assert!(error.to_string().starts_with("can't read the configuration file /nowhere/p.toml"), "{error}");
}

#[test]
fn what_is_needed_and_not_set_is_named_with_its_variable() {
    let setting = Setting::with_file("");
    let loaded = load(Some(&setting.path()), &setting.environment).unwrap();
    let error = loaded.bootstrap_servers("serve").unwrap_err().to_string();
    assert!(error.contains("kafka.bootstrap_servers is not set, but serve needs it"), "{error}");
    assert!(error.contains("POSTRIDER__KAFKA__BOOTSTRAP_SERVERS"), "{error}");
    assert!(loaded.postgres_url("the relay").is_err());
    assert!(loaded.key_ring("the API").is_err());
}

#[test]
fn a_short_master_key_is_named_with_its_place() {
    let setting = Setting::with_file("[security]\nmaster_keys = \"k1:c2hvcnQ=\"\n");
    let loaded = load(Some(&setting.path()), &setting.environment).unwrap();
    let error = loaded.key_ring("the API").unwrap_err().to_string();
    assert!(error.contains("p.toml:2: security.master_keys: "), "{error}");
    assert!(error.contains("k1") && !error.contains("c2hvcnQ="), "{error}");
}

/// The keys that serde knows where `text` has a key `probe`.
fn known_keys(text: &str) -> Vec<String> {
    let error = toml::from_str::<Config>(text).expect_err("no section has a key 'probe'");
    let known = error.message().strip_prefix("unknown field `probe`, expected ").unwrap_or_default();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every key, as `section.key`.
fn every_key() -> Vec<String> {
    let mut keys = Vec::new();
    for section in known_keys("probe = 1") {
        let header = if section == "sources" { "[[sources]]".to_owned() } else { format!("[{section}]") };
        let inside = known_keys(&format!("{header}\nprobe = 1"));
        if inside.is_empty() {
            keys.push(section);
        } else {
            keys.extend(inside.into_iter().map(|key| format!("{section}.{key}")));
        }
    }
    keys
}

#[test]
fn every_key_is_in_the_readme() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(readme).expect("the repository has a README.md");
    let keys = every_key();
    assert!(keys.contains(&"kafka.bootstrap_servers".to_owned()) && keys.contains(&"instance_id".to_owned()));
    let missing: Vec<_> = keys.into_iter().filter(|key| !readme.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "README.md's configuration table lacks {missing:?}");
}

#[test]
fn every_default_in_the_readme_is_the_default() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(readme).expect("the repository has a README.md");
    let keys = every_key();
    let mut checked = 0;
    for line in readme.lines() {
        let [_, key, default, ..] = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>()[..]
        else {
            continue;
        };
        if default.is_empty() || key.starts_with("sources.") || !keys.iter().any(|known| known == key) {
            continue;
        }
        let config = toml::from_str::<Config>(&format!("{key} = {default}")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()), "README.md: {key} = {default}");
        checked += 1;
    }
    assert!(checked > 15, "the configuration table has {checked} defaults");
}
