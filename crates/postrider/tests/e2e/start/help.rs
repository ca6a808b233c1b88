//! The command line explains itself.

use tokio::process::Command;

use crate::support::{Context, Test, binary, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![
        help_teaches_every_command,
        what_is_printed_may_go_into_a_pipe_that_ends_early,
        shells_complete_every_command,
        a_master_key_is_made_and_topics_are_named_without_any_server
    ]
}

const COMMANDS: [&str; 19] = [
    "serve",
    "dev",
    "migrate",
    "topics",
    "sources",
    "keys",
    "audit",
    "config",
    "event-types",
    "replay",
    "explain",
    "endpoints",
    "deliveries",
    "dlq",
    "events",
    "tail",
    "listen",
    "completions",
    "openapi",
];

async fn what_is_printed_may_go_into_a_pipe_that_ends_early(_: Context) {
    let script = "set -o pipefail; \"$0\" openapi | head -n 1 && \"$0\" completions zsh | head -n 1";
    let shell = Command::new("bash").args(["-c", script]).arg(binary()).output().await.unwrap();
    let said = String::from_utf8_lossy(&shell.stderr).into_owned();
    assert!(shell.status.success() && said.is_empty(), "{}: {said}", shell.status);
    assert_eq!(String::from_utf8_lossy(&shell.stdout).lines().collect::<Vec<_>>(), ["{", "#compdef postrider"]);
}

async fn shells_complete_every_command(_: Context) {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = postrider(&["completions", shell], None, &[]).await;
        assert_eq!(script.code, 0, "{script:?}");
        for command in COMMANDS {
            assert!(script.stdout.contains(command), "{shell} does not complete {command}");
        }
    }
}

async fn help_teaches_every_command(_: Context) {
    let help = postrider(&["--help"], None, &[]).await;
    assert_eq!(help.code, 0, "{help:?}");
    for command in COMMANDS {
        assert!(help.stdout.contains(command), "--help does not name {command}");
        let own = postrider(&[command, "--help"], None, &[]).await;
        assert_eq!(own.code, 0, "{own:?}");
        assert!(own.stdout.lines().count() > 5 && own.stdout.contains("Usage:"), "{command}: {}", own.stdout);
    }
    for command in ["endpoints", "deliveries", "dlq", "events", "replay", "tail", "listen"] {
        let own = postrider(&[command, "--help"], None, &[]).await.stdout;
        for taught in ["Exit codes", "4 the server refused it", "POSTRIDER_URL", "--json"] {
            assert!(own.contains(taught), "{command} --help does not teach {taught}: {own}");
        }
    }
    for taught in ["POSTRIDER__KAFKA__BOOTSTRAP_SERVERS", "postrider keys create", "Exit codes"] {
        assert!(help.stdout.contains(taught), "--help does not teach {taught}");
    }
    let roles = postrider(&["serve", "--help"], None, &[]).await.stdout;
    for role in ["api", "relay", "projector", "matcher", "dispatcher", "retrier"] {
        assert!(roles.contains(role), "serve --help does not name the role {role}");
    }
    let wrong = postrider(&["serve", "--roles", "api,postman"], None, &[]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("postman") && wrong.stderr.contains("dispatcher"), "{}", wrong.stderr);
}

async fn a_master_key_is_made_and_topics_are_named_without_any_server(_: Context) {
    let first = postrider(&["keys", "generate-master"], None, &[]).await;
    let second = postrider(&["keys", "generate-master"], None, &[]).await;
    postrider_domain::seal::KeyRing::parse(first.stdout.trim()).unwrap();
    assert_ne!(first.stdout, second.stdout);

    let prefix = [("POSTRIDER__KAFKA__TOPIC_PREFIX", "shop")];
    let topics = postrider(&["topics", "list"], None, &prefix).await.stdout;
    for topic in ["shop.config", "shop.deliveries", "shop.delivery-events", "shop.dlq", "shop.retry.5m", "shop.layout"]
    {
        assert!(topics.lines().any(|line| line == topic), "{topic} is missing: {topics}");
    }
}
