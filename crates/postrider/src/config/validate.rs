//! Checks that types can't make, and the files that secrets are in.

use std::{path::Path, time::Duration};

use postrider_control::api::is_origin;
use postrider_domain::{seal::KeyRing, tier::Tiers};
use postrider_kafka::SchemaRegistry;
use tracing_subscriber::EnvFilter;

use super::{
    error::{ConfigError, Origin},
    layers::Loaded,
    origin::Origins,
    sections::{Config, JwtSection},
    sources,
    values::Secret,
};

/// The name of the source that always exists.
pub const BUILT_IN_SOURCE: &str = postrider_control::api::HTTP_SOURCE_NAME;

/// The longest topic prefix: Kafka's limit of 249 characters less our longest suffix.
const MAX_PREFIX: usize = 200;
/// The most requests to one endpoint at the same time.
const MAX_LANE_CONCURRENCY: u32 = postrider_domain::concurrency::MAX_CONCURRENCY as u32;

/// What is kept by days is kept for one at least.
const SHORTEST_RETENTION: Duration = Duration::from_hours(24);
/// Ten years.
const LONGEST_RETENTION: Duration = Duration::from_hours(24 * 3_660);

/// Reads the files that secrets are in, and checks what is set.
pub fn check(mut config: Config, origins: Origins) -> Result<Loaded, ConfigError> {
    read_secret_files(&mut config, &origins)?;
    let invalid = |path: &[&str], problem: String| Err(invalid(&origins, path, &problem));

    let prefix = &config.kafka.topic_prefix;
    if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(is_topic_byte) {
        return invalid(&["kafka", "topic_prefix"], format!("must be 1 to {MAX_PREFIX} of a-z A-Z 0-9 . _ -"));
    }
    let topics = &config.topics;
    if let Some(min) = topics.min_insync_replicas.filter(|min| *min > topics.replication_factor) {
        let problem = format!("is {min}, more than replication_factor = {}", topics.replication_factor);
        return invalid(&["topics", "min_insync_replicas"], problem);
    }
    if let Err(error) = Tiers::new(config.retry.tiers.iter().copied()) {
        return invalid(&["retry", "tiers"], error.to_string());
    }
    for (path, duration) in [
        (["api", "request_timeout"], config.api.request_timeout),
        (["api", "publish_timeout"], config.api.publish_timeout),
        (["dispatcher", "park_after"], config.dispatcher.park_after),
        (["dispatcher", "hold_after"], config.dispatcher.hold_after),
    ] {
        if duration.is_zero() {
            return invalid(&path, "must be longer than zero".to_owned());
        }
    }
    if let Some(text) = config.api.cors_origins.iter().find(|text| !is_origin(text)) {
        let problem = format!("has '{text}': use origins such as https://app.example.com, without a path, or *");
        return invalid(&["api", "cors_origins"], problem);
    }
    let retention = &config.retention;
    for (key, duration) in [
        ("deliveries", retention.deliveries),
        ("tests", retention.tests),
        ("audit", retention.audit),
        ("minutes", retention.minutes),
        ("hours", retention.hours),
        ("days", retention.days),
    ] {
        if !(SHORTEST_RETENTION..=LONGEST_RETENTION).contains(&duration) {
            return invalid(&["retention", key], "must be 1 day to 10 years".to_owned());
        }
    }
    let share = config.api.rate_limit_share;
    if !(share > 0.0 && share <= 1.0) {
        return invalid(&["api", "rate_limit_share"], format!("is {share}: use more than 0, and 1 at most"));
    }
    if let Err((key, problem)) = check_jwt(&config.jwt) {
        return invalid(&["jwt", key], problem.to_owned());
    }
    let concurrency = config.dispatcher.lane_concurrency.get();
    if concurrency > MAX_LANE_CONCURRENCY {
        let problem = format!("is {concurrency}: use 1 to {MAX_LANE_CONCURRENCY}");
        return invalid(&["dispatcher", "lane_concurrency"], problem);
    }
    if let Some(id) = &config.instance_id
        && (id.is_empty() || !id.bytes().all(is_topic_byte))
    {
        return invalid(&["instance_id"], "must be letters, digits, '.', '_' and '-'".to_owned());
    }
    if EnvFilter::try_new(&config.log.level).is_err() {
        let problem = "must be error, warn, info, debug or trace, or a list per module (info,postrider_pipeline=debug)";
        return invalid(&["log", "level"], problem.to_owned());
    }
    check_sources(&config, &origins)?;
    Ok(Loaded { config, origins })
}

impl Loaded {
    /// The brokers, needed by `needed_by`.
    pub fn bootstrap_servers(&self, needed_by: &str) -> Result<&str, ConfigError> {
        let servers = self.config.kafka.bootstrap_servers.trim();
        if servers.is_empty() { Err(missing("kafka.bootstrap_servers", needed_by)) } else { Ok(servers) }
    }

    /// The database's URL, needed by `needed_by`.
    pub fn postgres_url(&self, needed_by: &str) -> Result<&Secret, ConfigError> {
        let url = self.config.postgres.url.as_ref().filter(|url| !url.reveal().is_empty());
        url.ok_or_else(|| missing("postgres.url", needed_by))
    }

    /// The URL of the database with the user that owns its schema.
    pub fn postgres_owner_url(&self, needed_by: &str) -> Result<&Secret, ConfigError> {
        let url = self.config.postgres.owner_url.as_ref().filter(|url| !url.reveal().is_empty());
        url.map_or_else(|| self.postgres_url(needed_by), Ok)
    }

    /// What turns Avro into JSON, if it is configured. Reads the files with schemas.
    pub fn schema_registry(&self) -> Result<Option<SchemaRegistry>, ConfigError> {
        let section = &self.config.schema_registry;
        let missing = |key: &str, problem: &str| Err(invalid(&self.origins, &["schema_registry", key], problem));
        let needs_url = section.username.is_some() || section.password.is_some() || section.ca_file.is_some();
        if section.url.is_none() && (needs_url || !section.subjects.is_empty()) {
            return missing("url", "is missing: set it, or leave out what is of no use without it");
        }
        if section.password.is_some() && section.username.is_none() {
            return missing("username", "is missing: set the user whose password this is");
        }
        let Some(config) = section.registry() else { return Ok(None) };
        let registry = SchemaRegistry::new(&config);
        registry
            .map(Some)
            .map_err(|error| invalid(&self.origins, &["schema_registry"], &format!("can't be used: {error}")))
    }

    /// The key ring, needed by `needed_by`.
    pub fn key_ring(&self, needed_by: &str) -> Result<KeyRing, ConfigError> {
        let keys = self.config.security.master_keys.as_ref().filter(|keys| !keys.reveal().trim().is_empty());
        let keys = keys.ok_or_else(|| missing("security.master_keys", needed_by))?;
        KeyRing::parse(keys.reveal()).map_err(|error| {
            let mut origin = self.origins.of(&["security", "master_keys"]);
            if origin == Origin::Default || self.config.security.master_keys_file.is_some() {
                origin = self.origins.of(&["security", "master_keys_file"]);
            }
            ConfigError::Invalid { origin, message: format!("security.master_keys: {error}") }
        })
    }
}

fn missing(key: &'static str, needed_by: &str) -> ConfigError {
    let variable = format!("POSTRIDER__{}", key.replace('.', "__").to_uppercase());
    ConfigError::Missing { key, needed_by: needed_by.to_owned(), variable }
}

fn invalid(origins: &Origins, path: &[&str], problem: &str) -> ConfigError {
    ConfigError::Invalid { origin: origins.of(path), message: format!("{} {problem}", path.join(".")) }
}

/// Whether names of topics may have it.
pub fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn check_sources(config: &Config, origins: &Origins) -> Result<(), ConfigError> {
    let checked = sources::check(&config.sources, &config.schema_registry, &config.kafka.topic_prefix, BUILT_IN_SOURCE);
    checked.map_err(|(index, (key, problem))| {
        let index = index.to_string();
        let path: Vec<&str> = ["sources", &index].into_iter().chain(key.split('.')).collect();
        invalid(origins, &path, &problem)
    })
}

/// Tokens can be checked only with all of this; without any of it, they are not taken.
fn check_jwt(jwt: &JwtSection) -> Result<(), (&'static str, &'static str)> {
    let parts = [("issuer", &jwt.issuer), ("audience", &jwt.audience), ("jwks_url", &jwt.jwks_url)];
    let missing = parts.iter().find(|(_, value)| value.as_ref().is_none_or(String::is_empty));
    match missing {
        Some(_) if parts.iter().all(|(_, value)| value.is_none()) => Ok(()),
        Some((key, _)) => Err((key, "is missing: tokens can't be checked without it")),
        None if jwt.jwks_url.as_deref().is_some_and(|url| url.starts_with("https://") || is_loopback(url)) => Ok(()),
        None => Err(("jwks_url", "must be an https URL: whoever can change the keys can make tokens")),
    }
}

/// Whether a URL is of this machine, where nobody is in between.
fn is_loopback(url: &str) -> bool {
    ["http://127.0.0.1:", "http://127.0.0.1/", "http://[::1]:", "http://localhost:", "http://localhost/"]
        .iter()
        .any(|start| url.starts_with(start))
}

fn read_secret_files(config: &mut Config, origins: &Origins) -> Result<(), ConfigError> {
    let postgres = &mut config.postgres;
    let owner_url_file = postgres.owner_url_file.clone();
    read_secret(&mut postgres.owner_url, owner_url_file.as_deref(), ["postgres", "owner_url"], origins)?;
    read_secret(&mut config.postgres.url, config.postgres.url_file.as_deref(), ["postgres", "url"], origins)?;
    read_secret(
        &mut config.security.master_keys,
        config.security.master_keys_file.as_deref(),
        ["security", "master_keys"],
        origins,
    )?;
    let registry = &mut config.schema_registry;
    read_secret(&mut registry.password, registry.password_file.as_deref(), ["schema_registry", "password"], origins)?;
    for (name, path) in &config.kafka.properties_files {
        if config.kafka.properties.contains(name) {
            let problem = format!("has '{name}', which kafka.properties has too: set one of them");
            return Err(invalid(origins, &["kafka", "properties_files"], &problem));
        }
        let text = read_trimmed(path)
            .map_err(|error| invalid(origins, &["kafka", "properties_files"], &format!("of '{name}': {error}")))?;
        config.kafka.properties.set(name.clone(), text);
    }
    Ok(())
}

fn read_secret(
    value: &mut Option<Secret>,
    file: Option<&Path>,
    [section, key]: [&str; 2],
    origins: &Origins,
) -> Result<(), ConfigError> {
    let Some(file) = file else { return Ok(()) };
    let file_key = format!("{key}_file");
    if value.is_some() {
        let problem = format!("and {section}.{key} are both set: set one of them");
        return Err(invalid(origins, &[section, &file_key], &problem));
    }
    let text = read_trimmed(file).map_err(|problem| invalid(origins, &[section, &file_key], &problem))?;
    *value = Some(Secret::new(text));
    Ok(())
}

fn read_trimmed(path: &Path) -> Result<String, String> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(format!("names {}, which is empty", path.display())),
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("names {}, which can't be read: {error}", path.display())),
    }
}
