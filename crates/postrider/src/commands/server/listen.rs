//! `postrider listen`: a tenant's deliveries, posted to a port of this machine while developing.
//!
//! What is sent elsewhere is posted here as well, with the headers that it was sent with, so that its signature can be
//! verified with the endpoint's own secret; or signed anew with a secret of this machine's. The server needs no way in.

use std::time::Duration;

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use postrider_control::clock;
use postrider_domain::{
    masking::MASK,
    signing::{SigningSecret, signature_header},
};
use reqwest::{Client, Method};
use serde_json::Value;

use super::{
    print,
    tail::{Follower, Remembered, patiently},
};
use crate::{
    cli::{DeliveryFilter, Listen},
    failure::Failure,
    server_api::{ServerApi, with_query},
};

const POST_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers of a connection, which is another one here.
const OF_CONNECTIONS: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];

/// Posts deliveries as they go, until it is interrupted.
pub async fn run(arguments: Listen) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let target = target(&arguments.forward_to);
    let secret = arguments.secret.as_deref().map(SigningSecret::parse).transpose().context("--secret can't be used")?;
    let client = Client::builder().timeout(POST_TIMEOUT).build().context("can't make an HTTP client")?;
    let filter = DeliveryFilter { endpoint: arguments.endpoint, ..DeliveryFilter::default() };
    let mut follower = Follower::begin(&api, filter).await?;
    eprintln!("Posting to {target} what is sent from now on. Ctrl-C ends it.");
    let mut posted = Remembered::default();
    let mut count = 0;
    loop {
        for delivery in follower.next(&api).await? {
            let text = |name: &str| print::cell(delivery.get(name));
            let (message, run) = (text("message_id"), text("run"));
            // Until an attempt was made there is nothing to post.
            let Some(sent) = sent(&api, &message, &run).await? else { continue };
            // Each once, however many attempts the server makes.
            if !posted.is_news(format!("{message} {run}"), "") {
                continue;
            }
            let answer = match payload(&api, &message, &run).await {
                Ok(payload) => post(&client, &target, &payload, &sent, secret.as_ref()).await,
                Err(Failure::Refused(why)) => format!("not posted: {why}"),
                Err(failure) => return Err(failure),
            };
            print::line(format_args!("{message}  {}  {answer}", text("event_type")));
            count += 1;
            if arguments.count == Some(count) {
                return Ok(());
            }
        }
    }
}

/// A port of this machine, with a path or without, or a whole URL.
fn target(given: &str) -> String {
    let authority = given.split('/').next().unwrap_or_default();
    if !authority.is_empty() && authority.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("http://127.0.0.1:{given}")
    } else if given.contains("://") {
        given.to_owned()
    } else {
        format!("http://{given}")
    }
}

/// The headers of the last request that was sent for a run of a message; none if none was.
async fn sent(api: &ServerApi, message: &str, run: &str) -> Result<Option<Vec<Value>>, Failure> {
    let path = format!("/v1/deliveries/{message}");
    let found = patiently(async || api.get(&path).await).await?;
    let runs = found["runs"].as_array().into_iter().flatten();
    let attempts = runs.filter(|it| it["delivery"]["run"] == *run).filter_map(|it| it["attempts"].as_array()).flatten();
    let mut headers = attempts.filter_map(|attempt| attempt["request_headers"].as_array());
    Ok(headers.rfind(|headers| !headers.is_empty()).cloned())
}

async fn payload(api: &ServerApi, message: &str, run: &str) -> Result<Value, Failure> {
    let path = with_query(&format!("/v1/deliveries/{message}/payload"), &[("run", run)]);
    patiently(async || api.get(&path).await).await
}

/// Posts one delivery. Answers what came of it, in words.
async fn post(
    client: &Client,
    target: &str,
    payload: &Value,
    sent: &[Value],
    secret: Option<&SigningSecret>,
) -> String {
    let text = |name: &str| print::cell(payload.get(name));
    let Some(body) = body(payload) else { return "not posted: its payload can't be read".to_owned() };
    let method = Method::from_bytes(text("method").as_bytes()).unwrap_or(Method::POST);
    let mut request = client.request(method, format!("{target}{}", text("path_suffix")));
    if let Some(secret) = secret {
        let (id, seconds) = (text("message_id"), clock::now().as_seconds());
        let signature = signature_header(std::slice::from_ref(secret), &id, seconds, &body);
        request = request
            .header("content-type", text("content_type"))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature);
    } else {
        for (name, value) in sent.iter().filter_map(as_sent) {
            request = request.header(name, value);
        }
    }
    match request.body(body).send().await {
        Ok(answer) => answer.status().to_string(),
        Err(error) => format!("{:#}", anyhow::anyhow!(error.without_url())),
    }
}

/// A header as it was sent, but for those that are of the connection, or that the log does not show.
fn as_sent(header: &Value) -> Option<(&str, &str)> {
    let (name, value) = (header["name"].as_str()?, header["value"].as_str()?);
    (value != MASK && !OF_CONNECTIONS.contains(&name)).then_some((name, value))
}

/// The body, to the byte.
fn body(payload: &Value) -> Option<Vec<u8>> {
    let body = payload["body"].as_str()?;
    if payload["encoding"] == "base64" { BASE64_STANDARD.decode(body).ok() } else { Some(body.as_bytes().to_vec()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_one_of_this_machine() {
        assert_eq!(target("3000"), "http://127.0.0.1:3000");
        assert_eq!(target("3000/hook"), "http://127.0.0.1:3000/hook");
        assert_eq!(target("localhost:3000/hook"), "http://localhost:3000/hook");
        assert_eq!(target("https://dev.example/hook"), "https://dev.example/hook");
    }

    #[test]
    fn headers_are_as_they_were_sent_but_for_the_connections_and_what_is_masked() {
        let header = |name: &str, value: &str| json!({"name": name, "value": value});
        assert_eq!(as_sent(&header("webhook-signature", "v1,x")), Some(("webhook-signature", "v1,x")));
        assert_eq!(as_sent(&header("authorization", MASK)), None);
        assert_eq!(as_sent(&header("host", "a.example")), None);
    }
}
