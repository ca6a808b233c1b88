//! Configuration: one TOML file, every key of which the environment can override.

mod error;
mod layers;
mod origin;
mod sections;
mod validate;
mod values;
#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use layers::{Environment, Loaded, load};
pub use sections::{
    ApiSection, Config, DispatcherSection, EgressSection, KafkaSection, LogFormat, LogSection, SourceFormat,
    SourceSection, TopicsSection,
};
