//! Reads the layers: defaults, the file, the environment, and the files that hold secrets.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    error::{ConfigError, in_words},
    origin::{Origins, line_at},
    sections::Config,
    validate,
};

/// What the name of every overriding environment variable starts with.
const VARIABLE_PREFIX: &str = "POSTRIDER__";

/// The file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "postrider.toml";

/// Environment variables, by name.
pub type Environment = BTreeMap<String, String>;

/// A configuration that was read and checked, and where its values come from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where they were set.
    pub(super) origins: Origins,
}

/// Reads the configuration: the file named (else `./postrider.toml`, if it is there), then every
/// `POSTRIDER__SECTION__KEY` of `environment` over it, then the files that secrets are in.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut origins = Origins::default();
    let mut table = Table::new();
    if let Some((path, text)) = read_file(file)? {
        table = parse_file(&path, &text)?;
        origins.set_file(&path, &text);
    }
    for (name, value) in environment {
        let Some(path) = overridden_key(name) else { continue };
        apply_variable(&mut table, &path, value)
            .map_err(|message| ConfigError::Variable { name: name.clone(), message })?;
        origins.add_variable(path, name.clone());
    }
    let config = parse_table(&table)
        .map_err(|message| ConfigError::Invalid { origin: super::error::Origin::Default, message })?;
    validate::check(config, origins)
}

fn read_file(named: Option<&Path>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Parses the file twice: into the configuration for errors that know their line, and into a table that
/// the environment is laid over.
fn parse_file(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let at = |span: Option<std::ops::Range<usize>>, message: String| ConfigError::File {
        path: path.to_owned(),
        line: line_at(text, span.map_or(0, |span| span.start)),
        message,
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|error| at(error.span(), error.message().to_owned()))?;
    serde_path_to_error::deserialize::<_, Config>(deserializer).map_err(|error| {
        let key = key_path(error.path());
        let inner = error.into_inner();
        at(inner.span(), in_words(inner.message(), &key))
    })?;
    toml::from_str(text).map_err(|error| at(error.span(), error.message().to_owned()))
}

fn parse_table(table: &Table) -> Result<Config, String> {
    serde_path_to_error::deserialize::<_, Config>(Value::Table(table.clone()))
        .map_err(|error| in_words(error.inner().message(), &key_path(error.path())))
}

/// The path of an error as a key; serde's `.` for the top level is none.
fn key_path(path: &serde_path_to_error::Path) -> String {
    let text = path.to_string();
    if text == "." { String::new() } else { text }
}

/// The key that a variable overrides: `POSTRIDER__KAFKA__CLIENT_ID` is `kafka.client_id`. A librdkafka
/// property is written with underscores for its dots: `POSTRIDER__KAFKA__PROPERTIES__LINGER_MS`.
fn overridden_key(variable: &str) -> Option<Vec<String>> {
    let key = variable.strip_prefix(VARIABLE_PREFIX)?;
    let mut path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
    if let [section, table, property] = path.as_mut_slice()
        && section == "kafka"
        && table.starts_with("properties")
    {
        *property = property.replace('_', ".");
    }
    Some(path)
}

/// Sets the key to the first reading of `text` that the configuration accepts: the text itself, a TOML
/// value, a comma-separated list.
fn apply_variable(table: &mut Table, path: &[String], text: &str) -> Result<(), String> {
    let mut failure: Option<String> = None;
    for value in readings(text) {
        let mut candidate = table.clone();
        set(&mut candidate, path, value)?;
        match parse_table(&candidate) {
            Ok(_) => {
                *table = candidate;
                return Ok(());
            }
            // Of several failures, one about the value says more than one about its kind.
            Err(message) => match &failure {
                Some(earlier) if !earlier.contains("invalid type") => {}
                Some(_) if message.contains("invalid type") => {}
                _ => failure = Some(message),
            },
        }
    }
    Err(failure.unwrap_or_else(|| "is empty".to_owned()))
}

fn readings(text: &str) -> Vec<Value> {
    let mut readings = vec![Value::String(text.to_owned())];
    readings.extend(toml::de::ValueDeserializer::parse(text).and_then(Value::deserialize));
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    readings.push(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()));
    readings
}

/// Sets a key, making the tables on the way to it.
fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first().filter(|(first, _)| !first.is_empty()) else {
        return Err(format!("names no key: write {VARIABLE_PREFIX}SECTION__KEY"));
    };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return Ok(());
    }
    match table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => set(inner, rest, value),
        _ => Err(format!("'{first}' is not a section")),
    }
}
