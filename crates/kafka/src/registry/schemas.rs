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
    read: HashSet<(usize, i64)>,
    looked: Option<Instant>,
}

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
        let known = || self.found.lock().by_fingerprint.get(&fingerprint.0).cloned();
        if let Some(schema) = known() {
            return Ok(schema);
        }
        let Some(registry) = registry.filter(|_| !self.subjects.is_empty()) else { return Err(FetchError::Unknown) };
        let _turn = self.looking.lock().await;
        let looked = self.found.lock().looked;
        if known().is_none() && looked.is_none_or(|looked| looked.elapsed() >= self.unknown_for) {
            self.look(registry).await?;
            self.found.lock().looked = Some(Instant::now());
        }
        known().ok_or(FetchError::Unknown)
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
