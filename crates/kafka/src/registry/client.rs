//! The registry's REST API, as far as reading takes it.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    time::Duration,
};

use reqwest::{Certificate, StatusCode, Url, redirect};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    avro::AvroSchema,
    config::{InvalidRegistry, RegistryConfig},
    outage::Outage,
};

/// The most bytes of an answer: twice what a schema may have in Confluent's registry, for it comes as text in JSON.
const MAX_ANSWER_BYTES: usize = 2 << 20;
/// The most bytes of a schema together with those that it refers to.
const MAX_SCHEMA_BYTES: usize = 8 << 20;
/// The most schemas that one may refer to, and they to others.
const MAX_REFERENCES: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a schema could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FetchError {
    /// The registry did not answer, or not as a registry does: ask again later.
    Unavailable(String),
    /// It knows no such schema.
    Unknown,
    /// What it has is no schema that can be read.
    Unusable(String),
}

/// A schema as the registry has it, with those that it refers to.
#[derive(Debug)]
pub(super) struct Fetched {
    pub text: String,
    pub references: Vec<String>,
}

impl Fetched {
    pub fn parse(&self) -> Result<AvroSchema, FetchError> {
        let references = self.references.iter().map(String::as_str);
        AvroSchema::parse(&self.text, references).map_err(|error| FetchError::Unusable(error.to_string()))
    }
}

/// A client of one registry.
pub(super) struct RegistryClient {
    http: reqwest::Client,
    base: Url,
    credentials: Option<(String, Option<String>)>,
    outage: Outage,
}

// Without the password, and without one that may stand in the URL.
impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryClient").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// What is read of a schema in an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
struct Reference {
    subject: String,
    version: i64,
}

/// What is read of an error.
#[derive(Debug, Deserialize)]
struct Refusal {
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl RegistryClient {
    pub fn new(url: &str, config: &RegistryConfig) -> Result<Self, InvalidRegistry> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // whoever came first chose the same
        let base: Url = url.parse().map_err(|error| InvalidRegistry(format!("url: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(InvalidRegistry("url: write it as http://host:port or https://host:port".to_owned()));
        }
        let mut builder = reqwest::Client::builder()
            .timeout(config.request_timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(config.request_timeout))
            .redirect(redirect::Policy::limited(3))
            // As for the brokers and the endpoints: what stands in the environment is for others.
            .no_proxy()
            .user_agent(concat!("Postrider/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &config.ca_file {
            let invalid = |why: String| InvalidRegistry(format!("ca_file: {}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| invalid(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| invalid(error.to_string()))?;
            if certificates.is_empty() {
                return Err(invalid("there is no certificate in it".to_owned()));
            }
            builder = builder.tls_certs_only(certificates);
        } else if base.scheme() == "http" {
            // Or it would not start where the system has no certificates.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| InvalidRegistry(format!("no HTTP client: {}", causes(&error))))?;
        let credentials = config.username.clone().map(|username| (username, config.password.clone()));
        Ok(Self { http, base, credentials, outage: Outage::new() })
    }

    /// What may be shown of a registry's URL.
    pub fn host_of(url: &str) -> Option<String> {
        let url: Url = url.parse().ok()?;
        url.host_str().map(|host| url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")))
    }

    pub fn outage(&self) -> &Outage {
        &self.outage
    }

    /// The schema with this id.
    pub async fn by_id(&self, id: u32) -> Result<Fetched, FetchError> {
        self.with_references(self.get(&["schemas", "ids", &id.to_string()]).await?).await
    }

    /// Every schema of a subject: its versions.
    pub async fn versions(&self, subject: &str) -> Result<Vec<i64>, FetchError> {
        self.get(&["subjects", subject, "versions"]).await
    }

    /// One version of a subject.
    pub async fn version(&self, subject: &str, version: i64) -> Result<Fetched, FetchError> {
        self.with_references(self.get(&["subjects", subject, "versions", &version.to_string()]).await?).await
    }

    async fn with_references(&self, answer: Answer) -> Result<Fetched, FetchError> {
        let (text, mut waiting) = avro(answer)?;
        let mut seen: HashSet<Reference> = waiting.iter().cloned().collect();
        let mut references = Vec::new();
        let mut bytes = text.len();
        while let Some(Reference { subject, version }) = waiting.pop_front() {
            if references.len() == MAX_REFERENCES {
                return Err(FetchError::Unusable(format!("it refers to more than {MAX_REFERENCES} schemas")));
            }
            let found = self.get(&["subjects", &subject, "versions", &version.to_string()]).await;
            let missing =
                || FetchError::Unusable(format!("version {version} of {subject}, to which it refers, is gone"));
            let found = found.map_err(|error| if error == FetchError::Unknown { missing() } else { error })?;
            let (text, further) = avro(found)?;
            bytes += text.len();
            if bytes > MAX_SCHEMA_BYTES {
                let why = format!("with what it refers to it has more than {MAX_SCHEMA_BYTES} bytes");
                return Err(FetchError::Unusable(why));
            }
            references.push(text);
            waiting.extend(further.into_iter().filter(|reference| seen.insert(reference.clone())));
        }
        Ok(Fetched { text, references })
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, FetchError> {
        self.outage.may_ask().map_err(FetchError::Unavailable)?;
        let answer = self.ask(path).await;
        let outcome = match &answer {
            Ok(_) => "found",
            Err(FetchError::Unknown) => "unknown",
            Err(FetchError::Unusable(_)) => "unusable",
            Err(FetchError::Unavailable(_)) => "unavailable",
        };
        metrics::counter!("postrider_schema_registry_requests_total", "outcome" => outcome).increment(1);
        let up = metrics::gauge!("postrider_schema_registry_up");
        if let Err(FetchError::Unavailable(why)) = &answer {
            up.set(0.0);
            self.outage.failed(why);
        } else {
            up.set(1.0);
            self.outage.answered();
        }
        answer
    }

    async fn ask<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, FetchError> {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("it has a host").pop_if_empty().extend(path);
        let host = self.base.host_str().unwrap_or_default();
        let unavailable = |why: String| FetchError::Unavailable(format!("the schema registry at {host} {why}"));
        let mut request =
            self.http.get(url).header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some((username, password)) = &self.credentials {
            request = request.basic_auth(username, password.as_deref());
        }
        let failed = |error: reqwest::Error| unavailable(format!("does not answer: {}", causes(&error.without_url())));
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(match status {
                    StatusCode::OK => FetchError::Unusable(format!("it has more than {MAX_ANSWER_BYTES} bytes")),
                    // Whatever this is, it is not the registry's word on a schema.
                    _ => unavailable(format!("answers {status}")),
                });
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| {
                unavailable(format!("answers what is no registry's answer ({error}): is its URL right?"))
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(unavailable(format!("answers {status}: check its username and password")))
            }
            // A registry says by its own code that something is not there; other servers merely have no such path.
            StatusCode::NOT_FOUND => match serde_json::from_slice(&body) {
                Ok(Refusal { error_code: 40_401..=40_499, .. }) => Err(FetchError::Unknown),
                _ => Err(unavailable(format!("answers {status} without a registry's error code: is its URL right?"))),
            },
            StatusCode::UNPROCESSABLE_ENTITY => match serde_json::from_slice(&body) {
                Ok(Refusal { message, .. }) => Err(FetchError::Unusable(message)),
                Err(_) => Err(unavailable(format!("answers {status}"))),
            },
            _ => Err(unavailable(format!("answers {status}"))),
        }
    }
}

/// The schema's text and what it refers to, if it is Avro.
fn avro(answer: Answer) -> Result<(String, VecDeque<Reference>), FetchError> {
    match answer.schema_type.as_deref() {
        None | Some("AVRO") => Ok((answer.schema, answer.references.unwrap_or_default().into())),
        Some(other) => Err(FetchError::Unusable(format!("it is of type {other}: only Avro is read"))),
    }
}

/// An error with all that led to it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
