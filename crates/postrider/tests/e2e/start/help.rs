//! The command line explains itself.

use crate::support::{Context, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![help_teaches_every_command, a_master_key_is_made_and_topics_are_named_without_any_server]
}

async fn help_teaches_every_command(_: Context) {
    let help = postrider(&["--help"], None, &[]).await;
    assert_eq!(help.code, 0, "{help:?}");
    for command in
        ["serve", "dev", "migrate", "topics", "sources", "keys", "event-types", "replay", "explain", "openapi"]
    {
        assert!(help.stdout.contains(command), "--help does not name {command}");
        let own = postrider(&[command, "--help"], None, &[]).await;
        assert_eq!(own.code, 0, "{own:?}");
        assert!(own.stdout.lines().count() > 5 && own.stdout.contains("Usage:"), "{command}: {}", own.stdout);
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
