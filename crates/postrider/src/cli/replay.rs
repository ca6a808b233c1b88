//! The arguments of `postrider replay`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use postrider_domain::{
    EndpointId, ErrorClass, JobId, MessageId, SubscriptionId, TenantId, Timestamp, replay::MAX_RATE_PER_SECOND,
};

use super::{Output, Server};

pub const EXAMPLES: &str = "\
See what a redrive would do, then do it:
  postrider replay dead-letters --error timeout --since 2d --dry-run
  postrider replay dead-letters --error timeout --since 2d --rate 200

Match rejected records again, after their source's configuration was mended:
  postrider replay rejected --source orders

Give a new subscription the events of the last week:
  postrider replay backfill --subscription sub_… --source orders --since 7d

Look after replays:
  postrider replay list
  postrider replay pause job_…

A replay works in a process with the role replayer, not in this command: Ctrl-C only stops watching it. The
webhook-id of what is delivered again stays the same.

With --url (POSTRIDER_URL) it asks a running server's API, with the rights of --api-key (POSTRIDER_API_KEY). Without, it
works on Kafka itself, as the configuration says.

Exit codes: 0 done (or still going on), 1 failed or cancelled, 2 wrong command line or configuration,
4 the server refused it, 5 the server can't be reached, or can't do it for now.";

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The URL of a server's API, which is asked instead of Kafka.
    #[arg(long, global = true, env = "POSTRIDER_URL", value_name = "URL")]
    pub url: Option<String>,
    /// An API key for that server, a tenant's or an operator's.
    #[arg(long, global = true, env = "POSTRIDER_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Only what is this tenant's; a server needs it with an operator's key.
    #[arg(long, global = true, env = "POSTRIDER_TENANT", value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// How to print: for people, or as lines of JSON on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The same as --output json.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Replay,
}

impl ReplayArguments {
    /// The server that is to be asked; none: Kafka is.
    pub fn server(&self) -> Option<Server> {
        Some(Server {
            url: self.url.clone()?,
            api_key: self.api_key.clone(),
            tenant: self.tenant.as_ref().map(ToString::to_string),
            json: self.is_json(),
        })
    }

    /// Whether to print for programs.
    pub fn is_json(&self) -> bool {
        self.json || self.output == Output::Json
    }
}

/// The commands below `replay`.
#[derive(Debug, Subcommand)]
pub enum Replay {
    /// Deliver dead letters again: all that every given flag fits.
    ///
    /// Each is delivered with fresh attempts and marked, so that no later replay delivers it again. What fails again
    /// becomes a dead letter of its own, which this replay does not touch. Those without a body (payload_too_large)
    /// can't be delivered. Those of mapping_failed are mapped again, by the mapping of now, from the record that their
    /// event came in; what still can't be mapped, or is gone, is counted as unavailable and stays as it is.
    DeadLetters(DeadLetterArguments),
    /// Match rejected records again, with the configuration and the subscriptions of now.
    ///
    /// Records that were cut (over 900 KiB), or that still can't be understood, are counted as unavailable.
    Rejected(RejectedArguments),
    /// Deliver events that came before their subscription, or before their endpoint.
    ///
    /// For a subscription it ends exactly where the matcher began to match it, so that each event is delivered once.
    /// For an endpoint it ends now, and repeats what was delivered already.
    Backfill(BackfillArguments),
    /// List the replays.
    List,
    /// Show a replay.
    Show(JobArguments),
    /// Let a replay wait.
    Pause(JobArguments),
    /// Let a replay that waits go on.
    Resume(JobArguments),
    /// End a replay for good. What it delivered stays delivered.
    Cancel(JobArguments),
}

/// Arguments of what works on one replay.
#[derive(Debug, Args)]
pub struct JobArguments {
    /// Its id, as `list` prints it (job_…).
    pub id: JobId,
}

/// Arguments of everything that starts a replay.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Only count what would be replayed, and show a few.
    #[arg(long)]
    pub dry_run: bool,
    /// Deliveries a second, at most.
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE_PER_SECOND)))]
    pub rate: u32,
    /// Do not watch it: print its id and end.
    #[arg(long)]
    pub detach: bool,
}

/// Arguments of `replay dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLetterArguments {
    /// Only these deliveries, by their webhook-ids (msg_…), separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub messages: Vec<MessageId>,
    /// Only those of this endpoint.
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<EndpointId>,
    /// Only those of this event type, such as order.created.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only those that ended for this reason, such as timeout or http_server_error.
    #[arg(long, value_name = "CLASS")]
    pub error: Option<ErrorClass>,
    /// Only those that ended at or after this: RFC 3339, or how long ago (2h).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only those that ended before this.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// How.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Arguments of `replay rejected`.
#[derive(Debug, Args)]
pub struct RejectedArguments {
    /// Only those of this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only those rejected at or after this: RFC 3339, or how long ago (2h).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only those rejected before this.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// How.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Arguments of `replay backfill`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("of").args(["subscription", "endpoint"]).required(true))]
pub struct BackfillArguments {
    /// By this subscription alone.
    #[arg(long, value_name = "ID")]
    pub subscription: Option<SubscriptionId>,
    /// By all subscriptions of this endpoint.
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<EndpointId>,
    /// The source, as configured; `events` is what the API publishes to.
    #[arg(long, value_name = "NAME", default_value = "events")]
    pub source: String,
    /// Its topic, if it has a pattern of topics.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Events at or after this (the record's time in Kafka): RFC 3339, or how long ago (7d).
    #[arg(long, value_name = "TIME")]
    pub since: Moment,
    /// Events before this.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// How.
    #[command(flatten)]
    pub run: RunArguments,
}

/// A point in time on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// That very one.
    At(Timestamp),
    /// So long ago.
    Ago(Duration),
}

impl Moment {
    /// The point in time, as of `now`.
    pub fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now - ago,
        }
    }
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(at) = Timestamp::parse_rfc3339(text) {
            return Ok(Self::At(at));
        }
        let ago = humantime::parse_duration(text);
        ago.map(Self::Ago)
            .map_err(|_| "expected a time such as 2026-01-31T12:00:00Z, or how long ago, as 2h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn whole(line: &str) -> Result<ReplayArguments, String> {
        let arguments = ["postrider", "replay"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(arguments).map_err(|error| error.to_string())?.command {
            Command::Replay(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    fn parse(line: &str) -> Result<Replay, String> {
        whole(line).map(|arguments| arguments.command)
    }

    #[test]
    fn a_server_is_asked_only_where_it_is_named() {
        let line = "list --url http://h:1 --api-key pr_x --tenant ten_01hzzzzzzzzzzzzzzzzzzzzzzz --json";
        let server = whole(line).unwrap().server().unwrap();
        assert_eq!((server.url.as_str(), server.json), ("http://h:1", true));
        assert_eq!(server.tenant.as_deref(), Some("ten_01hzzzzzzzzzzzzzzzzzzzzzzz"));
        assert!(whole("list --output json").unwrap().server().is_none());
    }

    #[test]
    fn every_field_of_a_redrive_has_a_flag() {
        let line = "dead-letters --messages msg_01hzzzzzzzzzzzzzzzzzzzzzzz,msg_01hzzzzzzzzzzzzzzzzzzzzzzy \
                    --endpoint ep_01hzzzzzzzzzzzzzzzzzzzzzzz --tenant ten_01hzzzzzzzzzzzzzzzzzzzzzzz \
                    --event-type order.created --error timeout --since 2h --until 2026-01-31T12:00:00Z \
                    --dry-run --rate 5 --detach --output json";
        let Ok(Replay::DeadLetters(arguments)) = parse(line) else { panic!() };
        assert_eq!((arguments.messages.len(), arguments.error), (2, Some(ErrorClass::Timeout)));
        assert_eq!(arguments.since, Some(Moment::Ago(Duration::from_hours(2))));
        assert!(matches!(arguments.until, Some(Moment::At(_))));
        assert!(arguments.run.dry_run && arguments.run.detach && arguments.run.rate == 5);
    }

    #[test]
    fn bad_input_is_named_by_its_flag() {
        let table = [
            ("dead-letters --error nonsense", ["--error", "http_server_error"]),
            ("dead-letters --endpoint x", ["--endpoint", "ep_"]),
            ("dead-letters --since yesterday", ["--since", "2026-01-31T12:00:00Z"]),
            ("dead-letters --rate 0", ["--rate", "10000"]),
            ("backfill --since 2d", ["--subscription", "--endpoint"]),
            ("backfill --endpoint ep_01hzzzzzzzzzzzzzzzzzzzzzzz", ["--since", "required"]),
            ("pause nonsense", ["nonsense", "job_"]),
        ];
        for (line, parts) in table {
            let error = parse(line).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{line}: {error}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now = Timestamp::from_millis(10_000_000);
        assert_eq!("1h".parse::<Moment>().unwrap().from(now), Timestamp::from_millis(6_400_000));
        assert_eq!("1970-01-01T00:00:01Z".parse::<Moment>().unwrap().from(now), Timestamp::from_millis(1_000));
    }
}
