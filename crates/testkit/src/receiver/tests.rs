use std::time::Duration;

use tokio::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have been first
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(LIMIT).build().unwrap()
}

async fn post(receiver: &Receiver, path: &str) -> reqwest::Result<reqwest::Response> {
    client().post(receiver.url(path)).header("webhook-id", "msg_1").body("{}").send().await
}

#[tokio::test]
async fn a_path_fails_as_often_as_it_was_told_and_records_everything() {
    let receiver = Receiver::start().unwrap();
    receiver.behave("/a", Behaviour::FailTimes(2, 500));
    for expected in [500, 500, 200] {
        assert_eq!(post(&receiver, "/a").await.unwrap().status(), expected);
    }
    let requests = receiver.wait_for("/a", 3, LIMIT).await;
    assert_eq!(&requests[0].body[..], b"{}");
    assert_eq!(requests[0].method, Method::POST);
    assert_eq!(receiver.webhook_ids("/a"), BTreeSet::from(["msg_1".to_owned()]));
    assert_eq!(receiver.count("/other"), 0);
}

#[tokio::test]
async fn redirects_and_retry_after_carry_their_headers() {
    let receiver = Receiver::start().unwrap();
    receiver.behave("/r", Behaviour::Redirect("/elsewhere".into()));
    let answer = post(&receiver, "/r").await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (302, &"/elsewhere".parse().unwrap()));
    receiver.behave("/r", Behaviour::RetryAfter(429, "2".into()));
    let answer = post(&receiver, "/r").await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"2".parse().unwrap()));
    assert_eq!(post(&receiver, "/r").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_hang_is_recorded() {
    let receiver = Receiver::start().unwrap();
    receiver.behave("/reset", Behaviour::Reset);
    let error = post(&receiver, "/reset").await.unwrap_err();
    assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");

    receiver.behave("/hang", Behaviour::Hang);
    let hanging = client().post(receiver.url("/hang")).timeout(Duration::from_millis(200)).send();
    assert!(hanging.await.unwrap_err().is_timeout());
    assert_eq!(receiver.count("/hang"), 1);
}

#[tokio::test]
async fn bodies_can_be_huge_and_endless() {
    let receiver = Receiver::start().unwrap();
    receiver.behave("/huge", Behaviour::HugeBody);
    let answer = post(&receiver, "/huge").await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), 64 << 20);

    receiver.behave("/trickle", Behaviour::Trickle);
    let mut answer = post(&receiver, "/trickle").await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), ".");
    assert_eq!(answer.chunk().await.unwrap().unwrap(), ".");
}

#[tokio::test]
async fn signatures_are_checked_and_bad_ones_counted() {
    let receiver = Receiver::start().unwrap();
    receiver.verify("/s", SECRET).unwrap();
    let seconds = serve::now().as_seconds();
    let signature = standardwebhooks::Webhook::new(SECRET).unwrap().sign("msg_1", seconds, b"{}").unwrap();
    for body in ["{}", "{ }"] {
        let request = client().post(receiver.url("/s")).header("webhook-id", "msg_1").body(body);
        let request = request.header("webhook-timestamp", seconds).header("webhook-signature", &signature);
        request.send().await.unwrap();
    }
    assert_eq!(receiver.bad_signatures("/s"), 1);
    post(&receiver, "/s").await.unwrap();
    assert_eq!(receiver.bad_signatures("/s"), 2);
}

#[tokio::test]
async fn tls_is_proved_by_the_authority_and_speaks_http_2() {
    let ca = TestCa::generate().unwrap();
    let receiver = Receiver::start_tls(&ca, &["hooks.example.test"]).unwrap();
    assert!(client().get(receiver.url("/t")).send().await.is_err(), "an unknown authority must be refused");
    let root = reqwest::Certificate::from_pem(ca.ca_pem().as_bytes()).unwrap();
    let trusting = reqwest::Client::builder()
        .tls_certs_only([root])
        .resolve("hooks.example.test", receiver.address())
        .build()
        .unwrap();
    for url in [receiver.url("/t"), format!("https://hooks.example.test:{}/t", receiver.address().port())] {
        let answer = trusting.get(url).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    }
    assert_eq!(receiver.count("/t"), 2);
}

#[tokio::test]
async fn behind_a_blackhole_neither_old_nor_new_connections_get_an_answer() {
    const SOON: Duration = Duration::from_millis(500);
    let receiver = Receiver::start_at([127, 0, 3, 1].into()).unwrap();
    let kept = client();
    let ask = async |client: &reqwest::Client| client.post(receiver.url("/b")).timeout(SOON).send().await;
    assert_eq!(ask(&kept).await.unwrap().status(), 200);
    receiver.reach(Reach::Blackholed);
    assert!(ask(&kept).await.unwrap_err().is_timeout(), "on the connection that there is");
    let error = crate::eventually(LIMIT, "new connections to hang", async || {
        let error = ask(&client()).await.unwrap_err();
        error.is_timeout().then_some(error)
    });
    assert!(error.await.is_timeout());
    receiver.reach(Reach::Open);
    assert_eq!(client().post(receiver.url("/b")).send().await.unwrap().status(), 200);
    assert!(receiver.url("/").starts_with("http://127.0.3.1:"));
}

#[tokio::test]
async fn it_can_refuse_connections_and_come_back_at_the_same_address() {
    let receiver = Receiver::start().unwrap();
    let client = client();
    let ask = async || client.post(receiver.url("/c")).send().await;
    assert_eq!(ask().await.unwrap().status(), 200);
    receiver.reach(Reach::Refused);
    crate::eventually(LIMIT, "connections to be refused", async || {
        ask().await.err().filter(reqwest::Error::is_connect)
    })
    .await;
    receiver.reach(Reach::Open);
    crate::eventually(LIMIT, "an answer", async || ask().await.ok()).await;
}

#[tokio::test]
async fn requests_are_cheap() {
    const REQUESTS: usize = 2_000;
    let receiver = Receiver::start().unwrap();
    let (client, url) = (client(), receiver.url("/fast"));
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, url) = (client.clone(), url.clone());
        tasks.spawn(async move {
            for _ in 0..REQUESTS / 20 {
                client.post(&url).body("{}").send().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(receiver.count("/fast"), REQUESTS);
    println!("{:.0} requests/s, client and receiver on one thread", 2_000.0 / begun.elapsed().as_secs_f64());
}
