//! The command line.
#![expect(clippy::doc_markdown, reason = "these docs are printed as the help, where backticks are noise")]

mod audit;
mod config;
mod event_types;
mod explain;
mod replay;
mod server;
mod sources;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use audit::{Audit, VerifyArguments};
pub use config::{ConfigCommand, RepublishArguments};
pub use event_types::{EventTypes, ImportArguments, SetArguments};
pub use explain::Explain;
pub use replay::{
    BackfillArguments, DeadLetterArguments, JobArguments, Moment, RejectedArguments, Replay, ReplayArguments,
    RunArguments,
};
pub use server::{
    DeadLetterFilter, Deliveries, DeliveriesCommand, DeliveryFilter, Dlq, DlqCommand, Endpoints, EndpointsCommand,
    Events, EventsCommand, Listen, Server, Tail, TenantKeys, TenantKeysCommand,
};
pub use sources::{CheckSources, Sources};

/// Delivers domain events from Kafka topics, signed, to the HTTP endpoints that subscribed to them.
///
/// Postrider reads events from Kafka, matches them with subscriptions, and sends each match as a signed
/// webhook: at least once, isolated per endpoint, retried over days. Tenants, endpoints and subscriptions
/// are managed by a REST API. Kafka and Postgres are the only servers that it needs.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file [default: ./postrider.toml, if it is there].
    ///
    /// Every key can be overridden by an environment variable POSTRIDER__SECTION__KEY, such as
    /// POSTRIDER__KAFKA__BOOTSTRAP_SERVERS=broker:9092.
    #[arg(long, env = "POSTRIDER_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Try it, with nothing else running:
  postrider dev

Run it:
  export POSTRIDER__KAFKA__BOOTSTRAP_SERVERS=broker:9092
  export POSTRIDER__POSTGRES__URL=postgres://postrider:secret@db/postrider
  export POSTRIDER__SECURITY__MASTER_KEYS=$(postrider keys generate-master)   # keep it safe
  postrider migrate
  postrider keys create --name ops
  postrider serve

Exit codes: 0 success, 1 failure, 2 wrong command line or configuration, 3 no match (explain), 4 refused by the server,
5 no answer from the server.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run Postrider, or some of its roles.
    ///
    /// Runs until SIGTERM or SIGINT, then takes no more work, finishes what it took within shutdown.drain,
    /// and abandons the rest, which is done again by whoever takes over. A second signal abandons at once.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Try Postrider: everything in one process, nothing else running, nothing kept.
    ///
    /// Starts an in-process Kafka broker that any Kafka client can use, a throwaway Postgres (its server
    /// programs must be installed), every role, and prints an operator key, a sample tenant and the first
    /// commands to try. Endpoints on this machine and http:// are allowed. All data is gone when it stops.
    Dev(Dev),
    /// Bring the database's schema up to date.
    ///
    /// Applies the migrations that the database at postgres.url does not have yet. Safe to repeat, and to
    /// run from several places at once. `postrider serve` does not start before this was done.
    Migrate,
    /// Look at Postrider's own topics, create them, or give them more partitions.
    #[command(subcommand, arg_required_else_help = true)]
    Topics(Topics),
    /// See how the records of your topics would be understood.
    #[command(subcommand, arg_required_else_help = true)]
    Sources(Sources),
    /// Make, list and revoke the keys of operators; make master keys.
    #[command(subcommand, arg_required_else_help = true)]
    Keys(Keys),
    /// Check that nobody tampered with the audit log.
    #[command(subcommand, arg_required_else_help = true)]
    Audit(Audit),
    /// Put the data plane's configuration right after the database was restored from a backup.
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Import, list and export the catalogue of event types.
    #[command(subcommand, arg_required_else_help = true, after_help = event_types::EXAMPLES)]
    EventTypes(EventTypes),
    /// Deliver again what failed, or what came before its subscription.
    #[command(arg_required_else_help = true, after_help = replay::EXAMPLES)]
    Replay(ReplayArguments),
    /// Say whether a subscription matches an event, and if not, because of what. Needs no server.
    ///
    /// Names the first condition of the subscription's filter that failed, with what was expected and what the event
    /// has. Reads neither Kafka nor Postgres: the event and the subscription are given as JSON.
    #[command(after_help = explain::EXAMPLES)]
    Explain(Explain),
    /// Work on the endpoints of a running server.
    #[command(arg_required_else_help = true, after_help = server::EXAMPLES)]
    Endpoints(Endpoints),
    /// See what became of events at a running server, try again, cancel.
    #[command(arg_required_else_help = true, after_help = server::EXAMPLES)]
    Deliveries(Deliveries),
    /// See dead letters of a running server, and deliver them again.
    #[command(arg_required_else_help = true, after_help = server::EXAMPLES)]
    Dlq(Dlq),
    /// Publish events to a running server.
    #[command(arg_required_else_help = true, after_help = server::EXAMPLES)]
    Events(Events),
    /// Watch deliveries of a running server as they go.
    ///
    /// Prints a line for each delivery that is new or changed, from now on; Ctrl-C ends it. It asks every second and
    /// looks at the newest 500: of more than that a second it shows a part.
    #[command(after_help = server::EXAMPLES)]
    Tail(Tail),
    /// Post deliveries of a running server to a port of this machine, while developing.
    ///
    /// What is sent to the tenant's endpoints from now on is posted here as well, once each, with the same body and
    /// headers, so that your program verifies it with the endpoint's secret; with --secret it is signed anew. Headers of
    /// the endpoint's own, which the log masks, are left out. What your program answers changes nothing at the server.
    /// It sees what the delivery log has: everything, unless the server's projector.log says otherwise.
    #[command(after_help = server::EXAMPLES)]
    Listen(Listen),
    /// Print what makes your shell complete command lines of postrider.
    ///
    /// For bash: source <(postrider completions bash)
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the API's OpenAPI document.
    Openapi,
}

const SERVE_EXAMPLES: &str = "\
Everything in one process:
  postrider serve

The API apart from deliveries (repeat the second on as many machines as you need):
  postrider serve --roles api,relay,projector
  postrider serve --roles matcher,dispatcher,retrier,replayer";

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The roles of this process, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "ROLES", default_values_t = Role::ALL, hide_default_value = true)]
    pub roles: Vec<Role>,
}

/// A part of Postrider that a process can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Serves the REST API (needs Postgres).
    Api,
    /// Publishes changes of the configuration to the data plane (needs Postgres).
    Relay,
    /// Writes the delivery log (needs Postgres).
    Projector,
    /// Matches events with subscriptions.
    Matcher,
    /// Sends deliveries.
    Dispatcher,
    /// Holds deliveries until their next attempt is due.
    Retrier,
    /// Works on replays (see `postrider replay --help`).
    Replayer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] =
        [Self::Api, Self::Relay, Self::Projector, Self::Matcher, Self::Dispatcher, Self::Retrier, Self::Replayer];

    /// Whether it works with Postgres.
    pub fn needs_postgres(self) -> bool {
        matches!(self, Self::Api | Self::Relay | Self::Projector)
    }

    /// Whether it works on topics that a resize replaces by others.
    pub fn is_bound_to_generation(self) -> bool {
        // The API sends tests into them.
        !matches!(self, Self::Relay)
    }

    /// Whether it opens or seals secrets, or chains the audit log.
    pub fn needs_master_keys(self) -> bool {
        matches!(self, Self::Api | Self::Relay | Self::Dispatcher)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().expect("no role is hidden").get_name())
    }
}

/// Arguments of `dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where the API listens; port 0 takes a free one [default: api.listen].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// How to print where everything is: for people, or as one line of JSON on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The commands below `topics`.
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Compare the topics with what Postrider needs; fails and names each difference if there are any.
    Check,
    /// Create the topics that are missing, then check them all.
    Create,
    /// Print the names of the topics, one a line, as they are before any resize. Needs no broker.
    List,
    /// Give the topics of deliveries another number of partitions. Nothing is lost, and order stays.
    ///
    /// An endpoint's deliveries are in one partition, and it has one dispatcher: with more partitions, more
    /// dispatchers can share the work. Adding partitions with Kafka's own tools does not help: they stay unused.
    ///
    /// While this runs, events are taken but nothing is delivered: the processes (which go on running) let go of
    /// their work within shutdown.drain, what is not delivered yet is copied in order into new topics (deliveries,
    /// held and endpoint-state, with a generation's number behind their names), and the processes begin again on
    /// them. The time goes with what waits and is held. Until the last step the old topics are in use, and they
    /// are left as they are.
    ///
    /// Run it again, with the same number, if it was interrupted: it copies anew. Or give it up.
    #[command(after_help = RESIZE_EXAMPLES)]
    Resize(Resize),
}

const RESIZE_EXAMPLES: &str = "\
From whatever it is to 24 partitions:
  postrider topics resize --partitions 24

It was interrupted, and deliveries are to go on as before:
  postrider topics resize --give-up

It waits for the consumer groups of all processes to be left, and names who has not left yet. Who was killed is named
until its session ends, after 10 s; who hangs, or runs a version that knows nothing of resizing, has to be ended.";

/// Arguments of `topics resize`.
#[derive(Debug, Args)]
pub struct Resize {
    /// How many partitions the topics are to have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    #[arg(required_unless_present = "give_up", conflicts_with = "give_up")]
    pub partitions: Option<i32>,
    /// Give up a resize that was begun and not finished: the processes go on with the topics as they were.
    #[arg(long)]
    pub give_up: bool,
}

/// The commands below `keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Commands on the keys in the database.
    #[command(flatten)]
    Database(OperatorKeys),
    /// Print a new master key for security.master_keys. Needs no server.
    ///
    /// Master keys seal the secrets in the database and in Kafka: without them, every secret is lost. To
    /// replace one, put the new key in front of the old one.
    GenerateMaster,
    /// List, make and revoke the API keys of a tenant, at a running server.
    #[command(arg_required_else_help = true, after_help = server::EXAMPLES)]
    Tenant(TenantKeys),
}

/// Commands on the operators' keys in the database.
#[derive(Debug, Subcommand)]
pub enum OperatorKeys {
    /// Make an operator's API key and print it: it is not shown again.
    ///
    /// An operator's key may do everything for every tenant; requests for a tenant name it in the header
    /// Postrider-Tenant. Keys of tenants are made by the API.
    Create {
        /// What to call it.
        #[arg(long)]
        name: String,
        /// How long it works, such as 90d. Not given: until it is revoked.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        expires_in: Option<std::time::Duration>,
    },
    /// List the operators' keys.
    List,
    /// Revoke an operator's key, at once and for good.
    Revoke {
        /// Its id, as `list` prints it (key_…).
        id: postrider_domain::KeyId,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let arguments = std::iter::once("postrider").chain(line.split_whitespace());
        Cli::try_parse_from(arguments).map(|cli| cli.command).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_takes_every_role_unless_told() {
        let Ok(Command::Serve(serve)) = parse("serve") else { panic!() };
        assert_eq!(serve.roles, Role::ALL);
        let Ok(Command::Serve(serve)) = parse("serve --roles relay,matcher") else { panic!() };
        assert_eq!(serve.roles, [Role::Relay, Role::Matcher]);
    }

    #[test]
    fn an_unknown_role_is_named_beside_the_known_ones() {
        let error = parse("serve --roles api,postman").unwrap_err();
        assert!(error.contains("'postman'") && error.contains("dispatcher"), "{error}");
    }

    #[test]
    fn the_configuration_file_can_be_named_anywhere() {
        let cli = Cli::try_parse_from(["postrider", "topics", "list", "--config", "x.toml"]).unwrap();
        assert_eq!(cli.config, Some("x.toml".into()));
    }

    #[test]
    fn keys_are_created_with_a_name_and_revoked_by_id() {
        assert!(matches!(parse("keys create --name ops --expires-in 90d"), Ok(Command::Keys(Keys::Database(_)))));
        assert!(parse("keys create").unwrap_err().contains("--name"));
        assert!(parse("keys revoke ops").unwrap_err().contains("key_"));
    }

    #[test]
    fn a_resize_is_to_a_number_of_partitions_or_given_up() {
        let Ok(Command::Topics(Topics::Resize(resize))) = parse("topics resize --partitions 5") else { panic!() };
        assert_eq!((resize.partitions, resize.give_up), (Some(5), false));
        assert!(parse("topics resize --give-up").is_ok());
        assert!(parse("topics resize").unwrap_err().contains("--partitions"));
        assert!(parse("topics resize --partitions 0").unwrap_err().contains("1..=10000"));
        assert!(parse("topics resize --partitions 5 --give-up").is_err());
    }

    #[test]
    fn sources_are_checked_all_or_one() {
        let Ok(Command::Sources(Sources::Check(check))) = parse("sources check") else { panic!() };
        assert_eq!((check.source, check.records, check.json), (None, 10, false));
        let Ok(Command::Sources(Sources::Check(check))) = parse("sources check --source a --records 3 --json") else {
            panic!()
        };
        assert_eq!((check.source.as_deref(), check.records, check.json), (Some("a"), 3, true));
        assert!(parse("sources check --records 0").unwrap_err().contains("1..=1000"));
    }

    #[test]
    fn nothing_at_all_prints_the_help() {
        assert!(parse("").unwrap_err().contains("Usage"));
    }
}
