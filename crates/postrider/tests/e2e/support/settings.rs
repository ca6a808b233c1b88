//! The configuration of a deployment under test.

use std::path::Path;

use toml::{Table, Value};

/// A configuration file, in the making.
#[derive(Debug, Clone)]
pub struct Settings(Table);

impl Settings {
    /// Few partitions, tiers so short that parking is too, this machine's receivers allowed.
    pub fn new(bootstrap_servers: &str, prefix: &str, postgres: &str, master_keys: &str, ca_file: &Path) -> Self {
        let text = format!(
            r#"
            [kafka]
            bootstrap_servers = "{bootstrap_servers}"
            topic_prefix = "{prefix}"
            [kafka.properties]
            "session.timeout.ms" = 6000
            [topics]
            partitions = 3
            [postgres]
            url = "{postgres}"
            max_connections = 8
            [security]
            master_keys = "{master_keys}"
            [egress]
            allowed_networks = ["127.0.0.0/8", "::1/128"]
            ca_file = "{}"
            [retry]
            tiers = ["1s", "2s", "5s"]
            [shutdown]
            drain = "5s"
            [log]
            format = "text"
            "#,
            ca_file.display()
        );
        Self(text.parse().unwrap())
    }

    /// With what `toml` says added; its values win.
    #[must_use]
    pub fn with(&self, toml: &str) -> Self {
        let mut table = self.0.clone();
        merge(&mut table, toml.parse().unwrap());
        Self(table)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        self.0.to_string()
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(known)), Value::Table(more)) => merge(known, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
