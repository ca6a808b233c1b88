//! The arguments of commands that work on a running server, over its API.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::replay::Moment;

pub const EXAMPLES: &str = "\
They ask the API at --url (POSTRIDER_URL) with --api-key (POSTRIDER_API_KEY):
  export POSTRIDER_URL=https://hooks.example.com POSTRIDER_API_KEY=pr_…
  postrider endpoints list
  postrider deliveries list --status failed --json | jq '.data[].message_id'

Exit codes: 0 done, 1 failed, 2 wrong command line, 4 the server refused it (no such thing, not allowed, a bad value),
5 the server can't be reached, or can't do it for now.";

/// Where the server is, and how to print.
#[derive(Debug, Args)]
pub struct Server {
    /// The URL of the API.
    #[arg(long, global = true, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// An API key, a tenant's or an operator's.
    #[arg(long, global = true, env = "POSTRIDER_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<String>,
    /// The tenant's id: needed with an operator's key.
    #[arg(long, global = true, env = "POSTRIDER_TENANT", value_name = "ID")]
    pub tenant: Option<String>,
    /// Print JSON, as the API answers it.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Arguments of `endpoints`.
#[derive(Debug, Args)]
pub struct Endpoints {
    /// The server.
    #[command(flatten)]
    pub server: Server,
    /// What to do.
    #[command(subcommand)]
    pub command: EndpointsCommand,
}

/// The commands below `endpoints`.
#[derive(Debug, Subcommand)]
pub enum EndpointsCommand {
    /// List endpoints.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Show an endpoint.
    Get {
        /// Its id (ep_…).
        id: String,
    },
    /// Make an endpoint, and print it with its signing secret, which is not shown again.
    Create {
        /// What to call it.
        #[arg(long, required_unless_present = "file")]
        name: Option<String>,
        /// Where deliveries go.
        #[arg(long = "to", value_name = "URL", required_unless_present = "file")]
        target: Option<String>,
        /// Which events it gets, such as order.*; several by repeating it.
        #[arg(long = "event-type", value_name = "PATTERN")]
        event_types: Vec<String>,
        /// The whole endpoint as JSON, as the API takes it; - for standard input.
        #[arg(long, conflicts_with_all = ["name", "target", "event_types"], value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Change an endpoint.
    Update {
        /// Its id (ep_…).
        id: String,
        /// What changes, as JSON: {"timeout_ms": 5000}; - for standard input.
        #[arg(value_name = "JSON")]
        changes: String,
    },
    /// Hold what comes for an endpoint.
    Pause {
        /// Its id (ep_…).
        id: String,
    },
    /// Send an endpoint what was held, and what comes.
    Resume {
        /// Its id (ep_…).
        id: String,
        /// What of what was held: all, none, or what was matched since a time (RFC 3339).
        #[arg(long, default_value = "all", value_name = "WHAT")]
        held: String,
    },
    /// Enable an endpoint.
    Enable {
        /// Its id (ep_…).
        id: String,
        /// Why: it is kept in the endpoint's history.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Disable an endpoint: what comes for it is held.
    Disable {
        /// Its id (ep_…).
        id: String,
        /// Why: it is kept in the endpoint's history.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Send an endpoint a test event, and print what it answered.
    Test {
        /// Its id (ep_…).
        id: String,
        /// An event type of the catalogue, whose sample is sent.
        #[arg(long = "event-type", value_name = "TYPE")]
        event_type: Option<String>,
    },
    /// Delete an endpoint.
    Delete {
        /// Its id (ep_…).
        id: String,
    },
}

/// Arguments of `deliveries`.
#[derive(Debug, Args)]
pub struct Deliveries {
    /// The server.
    #[command(flatten)]
    pub server: Server,
    /// What to do.
    #[command(subcommand)]
    pub command: DeliveriesCommand,
}

/// Which deliveries.
#[derive(Debug, Default, Args)]
pub struct DeliveryFilter {
    /// Only those to this endpoint.
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Only those of this type.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only those in this status, such as retrying.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only those whose last attempt failed so, such as timeout.
    #[arg(long, value_name = "CLASS")]
    pub error: Option<String>,
    /// Only those whose last answer had this HTTP status.
    #[arg(long, value_name = "CODE")]
    pub http_status: Option<String>,
    /// Only those of this event.
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// Only those that were matched then or later: RFC 3339, or how long ago (2h).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only those that were matched before.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
}

/// The commands below `deliveries`.
#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// List deliveries, the newest first.
    List {
        /// Which.
        #[command(flatten)]
        filter: DeliveryFilter,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Show a message with every attempt.
    Get {
        /// Its id (msg_…), the webhook-id.
        id: String,
    },
    /// Try a delivery that waits again now.
    Retry {
        /// Its id (msg_…).
        id: String,
    },
    /// Cancel a delivery that waits.
    Cancel {
        /// Its id (msg_…).
        id: String,
    },
}

/// Arguments of `dlq`.
#[derive(Debug, Args)]
pub struct Dlq {
    /// The server.
    #[command(flatten)]
    pub server: Server,
    /// What to do.
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct DeadLetterFilter {
    /// Only those to this endpoint.
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Only those of this type.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only those that failed for this reason, such as timeout.
    #[arg(long, value_name = "CLASS")]
    pub error: Option<String>,
    /// Only those that ended at or after this: RFC 3339, or how long ago (2h).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only those that ended before this.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
}

/// The commands below `dlq`.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters.
    List {
        /// Which.
        #[command(flatten)]
        filter: DeadLetterFilter,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Show the dead letters and runs of a message.
    Get {
        /// Its id (msg_…).
        id: String,
    },
    /// Deliver dead letters again, as a replay.
    Redrive {
        /// Which.
        #[command(flatten)]
        filter: DeadLetterFilter,
        /// Those of this message; several by repeating it.
        #[arg(long = "message", value_name = "ID")]
        messages: Vec<String>,
        /// Only count them, and show a sample.
        #[arg(long)]
        dry_run: bool,
        /// Deliveries a second, at most.
        #[arg(long, default_value_t = 100, value_name = "N")]
        rate: u32,
    },
    /// Give dead letters up for good: no replay delivers them any more.
    ///
    /// At least one flag has to say which; at most 10,000 at once.
    Purge {
        /// Which.
        #[command(flatten)]
        filter: DeadLetterFilter,
        /// Those of this message; several by repeating it.
        #[arg(long = "message", value_name = "ID")]
        messages: Vec<String>,
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// The server.
    #[command(flatten)]
    pub server: Server,
    /// What to do.
    #[command(subcommand)]
    pub command: EventsCommand,
}

/// The commands below `events`.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Publish an event.
    Publish {
        /// Its type, such as order.created.
        #[arg(long = "type", value_name = "TYPE")]
        event_type: String,
        /// Its data as JSON, @FILE for a file, - for standard input.
        #[arg(long, default_value = "{}", value_name = "JSON")]
        data: String,
        /// Its id: the same one again leads to the same webhook-id.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// What it is about: events of one subject stay in order.
        #[arg(long, value_name = "TEXT")]
        subject: Option<String>,
    },
}

/// Arguments of `keys tenant`.
#[derive(Debug, Args)]
pub struct TenantKeys {
    /// The server.
    #[command(flatten)]
    pub server: Server,
    /// What to do.
    #[command(subcommand)]
    pub command: TenantKeysCommand,
}

/// The commands below `keys tenant`.
#[derive(Debug, Subcommand)]
pub enum TenantKeysCommand {
    /// List a tenant's API keys.
    List,
    /// Make an API key of a tenant and print its text: it is not shown again.
    Create {
        /// What to call it.
        #[arg(long)]
        name: String,
        /// What it may do, such as events:publish; several by repeating it. Everything if not given.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// Revoke an API key of a tenant, at once and for good.
    Revoke {
        /// Its id (key_…).
        id: String,
    },
}

/// Arguments of `tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// The server.
    #[command(flatten)]
    pub server: Server,
    /// Which.
    #[command(flatten)]
    pub filter: DeliveryFilter,
    /// End after so many lines.
    #[arg(long, value_name = "N")]
    pub lines: Option<usize>,
}

/// Arguments of `listen`.
#[derive(Debug, Args)]
pub struct Listen {
    /// The server.
    #[command(flatten)]
    pub server: Server,
    /// Where to post deliveries to: a port of this machine, such as 3000 or 3000/webhooks, or a URL.
    #[arg(long, value_name = "PORT|URL")]
    pub forward_to: String,
    /// Only those to this endpoint.
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Sign anew with this secret (whsec_…), as Standard Webhooks says [default: headers as they were sent].
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub secret: Option<String>,
    /// End after so many deliveries.
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};

    fn parse(line: &str) -> Result<Command, String> {
        let arguments = std::iter::once("postrider").chain(line.split_whitespace());
        Cli::try_parse_from(arguments).map(|cli| cli.command).map_err(|error| error.to_string())
    }

    #[test]
    fn commands_take_their_server_before_and_what_to_do_after() {
        let Ok(Command::Endpoints(endpoints)) = parse("endpoints --url http://h:1 --json list --limit 3") else {
            panic!()
        };
        assert_eq!((endpoints.server.url.as_str(), endpoints.server.json), ("http://h:1", true));
        assert!(parse("deliveries list --status failed --endpoint ep_1 --json").is_ok());
        assert!(
            parse("deliveries list --error timeout --http-status 504 --since 2h --until 2026-01-31T12:00:00Z").is_ok()
        );
        assert!(parse("dlq redrive --error timeout --dry-run").is_ok());
        assert!(parse("dlq purge --message msg_1 --message msg_2 --since 30d").is_ok());
        assert!(parse("dlq list --since yesterday").unwrap_err().contains("2h"));
        assert!(parse("events publish").unwrap_err().contains("--type"));
        assert!(parse("keys tenant create --name x --scope events:publish").is_ok());
        assert!(parse("tail --status failed").is_ok());
        assert!(parse("listen").unwrap_err().contains("--forward-to"));
    }

    #[test]
    fn an_endpoint_is_made_of_a_name_and_a_url_or_of_a_file() {
        assert!(parse("endpoints create --name a --to https://a.example/ --event-type order.*").is_ok());
        assert!(parse("endpoints create --file -").is_ok());
        assert!(parse("endpoints create --name a").unwrap_err().contains("--to"));
        assert!(parse("endpoints create --file x --name a").is_err());
    }
}
