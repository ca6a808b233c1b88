//! Configuration: one TOML file, every key of which the environment can override.

mod error;
mod layers;
mod origin;
mod sections;
mod sources;
#[cfg(test)]
mod tests;
mod validate;
mod values;

pub use error::ConfigError;
pub use layers::{Environment, Loaded, load};
pub use sections::{ApiSection, Config, JwtSection, LogFormat, LogSection};
pub use sources::{SourceFormat, SourceSection};
pub use validate::BUILT_IN_SOURCE;
