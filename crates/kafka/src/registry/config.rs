//! Where schemas come from.

use std::{fmt, path::PathBuf, time::Duration};

use super::client::RegistryClient;

/// How to reach a Schema Registry, and further schemas.
#[derive(Clone)]
pub struct RegistryConfig {
    /// The base of its API, as Confluent's has it: `https://registry:8081`, or for Apicurio
    /// `http://apicurio:8080/apis/ccompat/v7`. None: schemas are those of the files only.
    pub url: Option<String>,
    /// Basic authentication.
    pub username: Option<String>,
    /// Basic authentication.
    pub password: Option<String>,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long an id that the registry does not know is believed to be unknown.
    pub unknown_for: Duration,
    /// Schemas that are kept in memory.
    pub max_schemas: usize,
    /// Files (`.avsc`) with schemas of records in single-object encoding. They may refer to each other.
    pub schema_files: Vec<PathBuf>,
    /// Subjects of the registry whose schemas records in single-object encoding may have; of each, every version.
    pub subjects: Vec<String>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            url: None,
            username: None,
            password: None,
            ca_file: None,
            request_timeout: Duration::from_secs(5),
            unknown_for: Duration::from_secs(30),
            max_schemas: 1_000,
            schema_files: Vec::new(),
            subjects: Vec::new(),
        }
    }
}

// Without the password, and without one that may stand in the URL.
impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryConfig")
            .field("host", &self.url.as_deref().and_then(RegistryClient::host_of))
            .field("username", &self.username)
            .field("ca_file", &self.ca_file)
            .field("request_timeout", &self.request_timeout)
            .field("schema_files", &self.schema_files)
            .field("subjects", &self.subjects)
            .finish_non_exhaustive()
    }
}

/// A registry's configuration that can't be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRegistry(pub(super) String);
