//! Looks for every secret of a run in all that it left behind.

use super::{
    forms::{Searcher, Secret},
    places,
    run::Run,
};
use crate::support::{Context, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_secret_is_found_however_it_is_written, no_secret_is_found_in_the_clear_after_a_full_run]
}

async fn no_secret_is_found_in_the_clear_after_a_full_run(context: Context) {
    let database = context.environment.database().await;
    let mut run = Run::start(&context, &database).await;
    run.go().await;

    let service = run.deployment.service();
    assert!(service.terminate().await.success());
    let mut places = vec![("the log".to_owned(), service.process.output().into_bytes())];
    places.extend(places::stored(&context, &run.deployment, &database).await);
    for (place, what_is_there) in [("the log", "API request"), ("the database", "endpoint.secret.reveal")] {
        let (_, bytes) = places.iter().find(|(name, _)| name == place).unwrap();
        assert!(String::from_utf8_lossy(bytes).contains(what_is_there), "{place} is not complete");
    }

    let secrets = &run.hearing.secrets;
    let (every, of_no_url) = (Searcher::new(secrets), Searcher::new(secrets.iter().filter(|secret| !secret.is_of_url)));
    let stored = places
        .iter()
        .flat_map(|(place, bytes)| every.find(bytes).into_iter().map(move |found| format!("{place}: {found}")));
    let answered = run.hearing.heard.iter().flat_map(|heard| {
        let searcher = if heard.may_have_urls { &of_no_url } else { &every };
        searcher.find(heard.text.as_bytes()).into_iter().map(move |found| format!("{}: {found}", heard.what))
    });
    let found: Vec<String> = stored.chain(answered).collect();
    let bytes: usize = places.iter().map(|(_, bytes)| bytes.len()).sum();
    println!(
        "secrecy: {} secrets, {} answers, {bytes} bytes stored and logged",
        secrets.len(),
        run.hearing.heard.len()
    );
    assert!(found.is_empty(), "{} are in the clear:\n{}", found.len(), found.join("\n"));
}

async fn a_secret_is_found_however_it_is_written(_: Context) {
    let secret = Secret::new("a token", "xoxb-17653672481-1f3a");
    let searcher = Searcher::new([&secret]);
    for written in [
        "Bearer xoxb-17653672481-1f3a",
        // Of `{"token":"…"}`: in hexadecimal as databases show bytes, and in base64.
        r"\x7b22746f6b656e223a22786f78622d31373635333637323438312d31663361227d",
        "eyJ0b2tlbiI6InhveGItMTc2NTM2NzI0ODEtMWYzYSJ9",
        "token%3Axoxb-17653672481-1f3a%2F",
    ] {
        let found = searcher.find(written.as_bytes());
        assert_eq!(found.len(), 1, "{written}: {found:?}");
    }
    assert_eq!(searcher.find(b"Bearer xoxb-17653672481-1f3b"), Vec::<String>::new());
}
