//! Schemas of records in single-object encoding: by the Rabin fingerprint of their canonical form.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;
use serde_avro_fast::schema::SchemaMut;
use tokio::time::Instant;

use super::{
    avro::AvroSchema,
    client::{FetchError, Fetched, RegistryClient},
    config::{InvalidRegistry, RegistryConfig},
};
use crate::Fingerprint;

/// The schemas of files, and those of the registry's subjects as far as they were needed.
#[derive(Debug)]
pub(super) struct Schemas {
    found: Mutex<Found>,
    /// Held by whoever looks through the subjects.
    looking: tokio::sync::Mutex<()>,
    subjects: Vec<String>,
    unknown_for: std::time::Duration,
}

#[derive(Debug, Default)]
struct Found {
    by_fingerprint: HashMap<[u8; 8], Arc<AvroSchema>>,
    /// Versions of subjects that need not be read again.
    read: HashSet<(usize, i64)>,
    /// What no subject had, and when that was looked up.
    unknown: HashMap<[u8; 8], Instant>,
}

/// The most fingerprints that are remembered to be unknown.
const MAX_UNKNOWN: usize = 1_000;

impl Schemas {
    /// Reads the files.
    pub fn new(config: &RegistryConfig) -> Result<Self, InvalidRegistry> {
        let read = |file: &PathBuf| {
            let text = std::fs::read_to_string(file);
            text.map_err(|error| InvalidRegistry(format!("schema_files: {}: {error}", file.display())))
        };
        let texts = config.schema_files.iter().map(read).collect::<Result<Vec<String>, _>>()?;
        let mut found = Found::default();
        for (index, (file, text)) in config.schema_files.iter().zip(&texts).enumerate() {
            // Alone, or with all the others where it refers to some of them.
            let others = texts.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, text)| text.clone());
            let alone = Fetched { text: text.clone(), references: Vec::new() };
            let together = Fetched { text: text.clone(), references: others.collect() };
            let known = found.add(&alone).or_else(|_| found.add(&together));
            known.map_err(|why| InvalidRegistry(format!("schema_files: {}: {why}", file.display())))?;
        }
        Ok(Self {
            found: Mutex::new(found),
            looking: tokio::sync::Mutex::default(),
            subjects: config.subjects.clone(),
            unknown_for: config.unknown_for,
        })
    }

    /// The schema with this fingerprint, by looking through the registry's subjects for new versions if need be.
    pub async fn get(
        &self,
        fingerprint: Fingerprint,
        registry: Option<&RegistryClient>,
    ) -> Result<Arc<AvroSchema>, FetchError> {
        let Some(registry) = registry.filter(|_| !self.subjects.is_empty()) else {
            return self.known(fingerprint).unwrap_or(Err(FetchError::Unknown));
        };
        if let Some(known) = self.known(fingerprint) {
            return known;
        }
        let _turn = self.looking.lock().await;
        if let Some(known) = self.known(fingerprint) {
            return known;
        }
        self.look(registry).await?;
        let mut found = self.found.lock();
        if let Some(schema) = found.by_fingerprint.get(&fingerprint.0) {
            return Ok(schema.clone());
        }
        if found.unknown.len() >= MAX_UNKNOWN {
            found.unknown.clear();
        }
        found.unknown.insert(fingerprint.0, Instant::now());
        Err(FetchError::Unknown)
    }

    /// What is known without asking: the schema, or that there was none a moment ago. A schema that was registered since
    /// another was looked for is not taken for unknown.
    fn known(&self, fingerprint: Fingerprint) -> Option<Result<Arc<AvroSchema>, FetchError>> {
        let found = self.found.lock();
        if let Some(schema) = found.by_fingerprint.get(&fingerprint.0) {
            return Some(Ok(schema.clone()));
        }
        let since = found.unknown.get(&fingerprint.0)?;
        (since.elapsed() < self.unknown_for).then_some(Err(FetchError::Unknown))
    }

    async fn look(&self, registry: &RegistryClient) -> Result<(), FetchError> {
        for (index, subject) in self.subjects.iter().enumerate() {
            let versions = match registry.versions(subject).await {
                Err(FetchError::Unknown) => continue, // nobody has written there yet
                versions => versions?,
            };
            for version in versions {
                if self.found.lock().read.contains(&(index, version)) {
                    continue;
                }
                let added = match registry.version(subject, version).await {
                    Err(unavailable @ FetchError::Unavailable(_)) => return Err(unavailable),
                    Err(FetchError::Unknown) => continue, // deleted meanwhile
                    Err(FetchError::Unusable(why)) => Err(why),
                    Ok(fetched) => self.found.lock().add(&fetched),
                };
                if let Err(why) = added {
                    tracing::warn!(subject, version, why, "a schema of the registry can't be read");
                }
                self.found.lock().read.insert((index, version));
            }
        }
        Ok(())
    }
}

impl Found {
    fn add(&mut self, fetched: &Fetched) -> Result<(), String> {
        let schema = AvroSchema::parse(&fetched.text, fetched.references.iter().map(String::as_str));
        let schema = schema.map_err(|error| error.to_string())?;
        let canonical = SchemaMut::from_schemata(&fetched.text, &fetched.references);
        let fingerprint = canonical.and_then(|canonical| canonical.canonical_form_rabin_fingerprint());
        self.by_fingerprint.insert(fingerprint.map_err(|error| error.to_string())?, Arc::new(schema));
        Ok(())
    }
}
