//! A start that can't succeed stops with one clear line that names the cause.

use postrider_domain::{seal::KeyRing, tier::Tiers};
use postrider_kafka::Topics;

use crate::support::{Context, Deployment, Settings, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_mistake_in_the_configuration_is_named_with_its_line,
        an_unreachable_broker_is_named,
        an_unreachable_database_is_named_without_its_password,
        a_database_without_its_schema_is_told_what_to_run,
        a_topic_with_wrong_settings_is_named,
        bad_master_keys_are_named_and_not_shown,
    ]
}

/// Exit code 2, and one line that has each of `parts`.
async fn refused(config: &str, environment: &[(&str, &str)], parts: &[&str]) {
    let finished = postrider(&["serve"], Some(config), environment).await;
    let line = finished.one_line();
    assert_eq!(finished.code, 2, "{line}");
    for part in parts {
        assert!(line.contains(part), "'{part}' is missing: {line}");
    }
}

async fn a_mistake_in_the_configuration_is_named_with_its_line(_: Context) {
    refused(
        "[kafka]\n\nbootstrap_server = \"a:1\"\n",
        &[],
        &["postrider.toml:3", "kafka.bootstrap_server", "bootstrap_servers"],
    )
    .await;
    refused("[topics]\npartitions = 0\n", &[], &["postrider.toml:2", "topics.partitions"]).await;
    refused("[retry]\ntiers = [\n", &[], &["postrider.toml:"]).await;
    refused("", &[], &["kafka.bootstrap_servers", "POSTRIDER__KAFKA__BOOTSTRAP_SERVERS"]).await;
    refused("", &[("POSTRIDER__KAFKA__BOOTSTRAPS", "x")], &["POSTRIDER__KAFKA__BOOTSTRAPS"]).await;
    refused("", &[("POSTRIDER__API__LISTEN", "nowhere")], &["POSTRIDER__API__LISTEN", "api.listen"]).await;
    let absent = postrider(&["--config", "absent.toml", "serve"], None, &[]).await;
    assert!(absent.one_line().contains("absent.toml"), "{absent:?}");
}

/// Settings that are right but for what a test changes; nothing listens on port 1.
fn settings(bootstrap_servers: &str, postgres: &str) -> Settings {
    let keys = KeyRing::generate_text(&mut postrider_control::clock::rng());
    Settings::new(bootstrap_servers, "start", postgres, &keys, std::path::Path::new("/dev/null"))
}

async fn failed(settings: &Settings, parts: &[&str]) -> String {
    let finished = postrider(&["serve"], Some(&settings.to_text()), &[]).await;
    let line = finished.one_line();
    assert_eq!(finished.code, 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "'{part}' is missing: {line}");
    }
    line.to_owned()
}

async fn an_unreachable_broker_is_named(_: Context) {
    let begun = tokio::time::Instant::now();
    let settings = settings("127.0.0.1:1,127.0.0.1:2", "postgres://u:p@127.0.0.1:1/db");
    failed(&settings, &["Kafka", "127.0.0.1:1,127.0.0.1:2", "kafka.bootstrap_servers"]).await;
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(15), "it took {took:?}");
}

async fn an_unreachable_database_is_named_without_its_password(context: Context) {
    let kafka = context.environment.bootstrap_servers().await;
    let line = failed(&settings(&kafka, "postgres://ann:hunter2@127.0.0.1:1/db"), &["Postgres", "127.0.0.1:1"]).await;
    assert!(!line.contains("hunter2"), "{line}");
    let line = failed(&settings(&kafka, "postgres:ann:hunter2@"), &["postgres.url"]).await;
    assert!(!line.contains("hunter2"), "{line}");
}

async fn a_database_without_its_schema_is_told_what_to_run(context: Context) {
    let kafka = context.environment.bootstrap_servers().await;
    let database = context.environment.database().await;
    let settings = settings(&kafka, &database).with("[kafka]\ntopic_prefix = \"unmigrated\"");
    failed(&settings, &["postrider migrate"]).await;

    let config = settings.to_text();
    for said in ["0001", "up to date"] {
        let migrated = postrider(&["migrate"], Some(&config), &[]).await;
        assert!(migrated.code == 0 && migrated.stdout.contains(said), "{migrated:?}");
    }
    let keys = postrider(&["keys", "list"], Some(&config), &[]).await;
    assert_eq!(keys.code, 0, "{keys:?}");
}

async fn a_topic_with_wrong_settings_is_named(context: Context) {
    let deployment = Deployment::prepare(&context, "settings", "").await;
    // The directory's topic has to be compacted; here the deliveries are.
    let mut wrong = Topics::new("x").specs(&Tiers::default()).remove(1);
    wrong.name = deployment.topics.deliveries();
    deployment.create_topic(wrong, 1).await;
    let deliveries = deployment.topics.deliveries();
    failed(&deployment.settings, &[&deliveries, "cleanup.policy", "compact", "delete"]).await;

    let config = deployment.settings.to_text();
    let checked = postrider(&["topics", "check"], Some(&config), &[]).await;
    assert!(checked.code == 1 && checked.stdout.contains(&deliveries), "{checked:?}");
    // Where topics are not to be created, a missing one is named.
    let settings = deployment.settings.with("[kafka]\ntopic_prefix = \"nothing-here\"\n[topics]\ncreate = false");
    failed(&settings, &["nothing-here.", "postrider topics create"]).await;
    let created = postrider(&["topics", "create"], Some(&settings.to_text()), &[]).await;
    assert!(created.code == 0 && created.stdout.contains("created nothing-here.deliveries"), "{created:?}");
}

async fn bad_master_keys_are_named_and_not_shown(_: Context) {
    let base = settings("127.0.0.1:1", "postgres://u:p@127.0.0.1:1/db");
    for (keys, part) in [
        ("", "security.master_keys"),
        ("c2hvcnQ=", "security.master_keys"),
        ("k1:c2hvcnQ=", "32"),
        ("k1:not base64!", "base64"),
    ] {
        let config = base.with(&format!("[security]\nmaster_keys = \"{keys}\"")).to_text();
        let finished = postrider(&["serve"], Some(&config), &[]).await;
        let line = finished.one_line();
        assert_eq!(finished.code, 2, "{line}");
        assert!(line.contains("security.master_keys") && line.contains(part), "{line}");
        assert!(!line.contains("c2hvcnQ="), "the key is shown: {line}");
    }
}
