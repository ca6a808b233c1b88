//! What `postrider dev` prints once it is ready.

use serde::Serialize;

use crate::cli::Output;

/// Where everything is, and the keys to it. As JSON, these fields on one line.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// The in-process broker's address.
    pub kafka: String,
    /// The API's base URL.
    pub api: String,
    /// The docs page.
    pub docs: String,
    /// An operator's API key.
    pub operator_key: String,
    /// The sample tenant.
    pub tenant: String,
    /// An API key of the sample tenant.
    pub tenant_key: String,
    /// The topic that events are written to.
    pub topic: String,
}

impl Sample {
    /// Prints it on stdout.
    pub fn print(&self, output: Output) {
        match output {
            Output::Json => println!("{}", serde_json::to_string(self).expect("texts are JSON")),
            Output::Text => println!("{}", self.for_people()),
        }
    }

    fn for_people(&self) -> String {
        let Self { kafka, api, docs, operator_key, tenant, tenant_key, topic } = self;
        format!(
            "\
Postrider is ready.

  Kafka           {kafka}   (events go to the topic {topic})
  API             {api}
  Docs            {docs}   (from nothing to a verified delivery: {docs}/guide)
  Operator key    {operator_key}
  Sample tenant   {tenant}
  Tenant key      {tenant_key}

Nothing is kept: when this stops, the broker, the database, the keys and every event are gone.
While it runs, the broker keeps about 5 MiB a partition and then drops the oldest without a word, and it can't
look offsets up by time, so nothing can be replayed by time. Use `postrider serve` for anything that matters.

Try it in another terminal. An endpoint on this machine (nothing has to listen there yet):

  curl -s {api}/v1/endpoints -H 'Authorization: Bearer {tenant_key}' -H 'Content-Type: application/json' \\
    -d '{{\"name\":\"first\",\"url\":\"http://127.0.0.1:9000/hook\",\"event_types\":[\"order.*\"],\"retry\":{{\"schedule\":\"fast\"}}}}'

An event, with any Kafka client:

  echo '{{\"type\":\"order.created\",\"tenant\":\"{tenant}\",\"data\":{{\"id\":1}}}}' | kcat -P -b {kafka} -t {topic}

What became of it:

  curl -s {api}/v1/deliveries -H 'Authorization: Bearer {tenant_key}'

Ctrl-C stops it."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_where_everything_is_and_what_is_not_kept() {
        let sample = Sample {
            kafka: "127.0.0.1:1".to_owned(),
            api: "http://127.0.0.1:2".to_owned(),
            docs: "http://127.0.0.1:2/docs".to_owned(),
            operator_key: "pr_operator".to_owned(),
            tenant: "ten_x".to_owned(),
            tenant_key: "pr_tenant".to_owned(),
            topic: "postrider.events".to_owned(),
        };
        let text = sample.for_people();
        for needed in ["127.0.0.1:1", "http://127.0.0.1:2/docs", "pr_operator", "ten_x", "pr_tenant", "5 MiB", "kcat"] {
            assert!(text.contains(needed), "{needed}");
        }
        let json = serde_json::to_value(&sample).unwrap();
        assert_eq!(json["tenant_key"], "pr_tenant");
    }
}
