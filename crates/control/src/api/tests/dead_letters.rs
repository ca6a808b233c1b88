use poem::http::Method;
use postrider_domain::{
    EndpointId, EventId, JobId, MessageId, Run, TenantId, Timestamp,
    replay::{Mark, ReplaySource},
};
use postrider_postgres::dead_letters::{self, DeadLetterRow, DeadLetterState, NewMark};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture};

const AT: i64 = 1_769_860_800_000;

fn message(number: i64) -> MessageId {
    MessageId::from_trusted(format!("msg_{number:026}"))
}

fn letter(tenant: &str, endpoint: &str, number: i64, error: &str) -> DeadLetterRow {
    DeadLetterRow {
        message_id: message(number),
        run: Run::LIVE,
        tenant: TenantId::from_trusted(tenant),
        endpoint: EndpointId::from_trusted(endpoint),
        event_id: EventId::from_trusted(format!("e{number}")),
        event_type: "order.created".to_owned(),
        attempts: 3,
        error: error.to_owned(),
        error_message: None,
        last_status: None,
        matched_at: Timestamp::from_millis(AT),
        first_attempt_at: None,
        died_at: Timestamp::from_millis(AT + number * 1_000),
        body_bytes: 2,
        log_partition: 0,
        log_offset: number,
        state: DeadLetterState::Open,
        job: None,
        settled_at: None,
    }
}

async fn store(api: &Fixture, letters: &[DeadLetterRow]) {
    let mut conn = api.pool.acquire().await.expect("a connection");
    dead_letters::insert(&mut conn, letters).await.expect("they are stored");
}

async fn redriven(api: &Fixture, letter: &DeadLetterRow, job: &JobId, at: Timestamp) {
    let mark = NewMark {
        message_id: letter.message_id.clone(),
        run: letter.run.clone(),
        endpoint: letter.endpoint.clone(),
        state: DeadLetterState::Redriven,
        job: Some(job.clone()),
        at,
    };
    let mut conn = api.pool.acquire().await.expect("a connection");
    dead_letters::mark(&mut conn, &[mark]).await.expect("it is marked");
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let data = answer.body["data"].as_array().expect("a list");
    data.iter().map(|it| it["message_id"].as_str().expect("an id").to_owned()).collect()
}

fn numbers(numbers: &[i64]) -> Vec<String> {
    numbers.iter().map(|number| message(*number).to_string()).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_counted_and_filtered_and_a_tenant_sees_its_own() {
    let api = Fixture::new().await;
    let (acme, other) = (api.tenant("Acme").await, api.tenant("Other").await);
    let (mine, theirs) = (acme.endpoint().await.id(), other.endpoint().await.id());
    store(
        &api,
        &[
            letter(&acme.id, &mine, 1, "timeout"),
            letter(&acme.id, &mine, 2, "dns"),
            letter(&acme.id, &mine, 3, "timeout"),
            letter(&other.id, &theirs, 4, "timeout"),
        ],
    )
    .await;
    assert_eq!(ids(&acme.get("/v1/dead-letters").await), numbers(&[3, 2, 1]));
    assert_eq!(ids(&acme.get("/v1/dead-letters?error_class=dns").await), numbers(&[2]));
    assert_eq!(ids(&acme.get("/v1/dead-letters?state=purged").await), numbers(&[]));
    assert_eq!(ids(&acme.get(&format!("/v1/dead-letters?endpoint_id={theirs}")).await), numbers(&[]));
    assert_eq!(
        ids(&acme.get("/v1/dead-letters?since=2026-01-31T12:00:02Z&until=2026-01-31T12:00:03Z").await),
        numbers(&[2])
    );
    let first = acme.get("/v1/dead-letters?limit=2").await;
    let cursor = first.body["next_cursor"].as_str().expect("there is more");
    assert_eq!(ids(&acme.get(&format!("/v1/dead-letters?limit=2&cursor={cursor}")).await), numbers(&[1]));

    let counts = acme.get("/v1/dead-letters/counts").await;
    assert_eq!((&counts.body["total"], &counts.body["data"][0]["error_class"]), (&json!(3), &json!("timeout")));
    let path = format!("/v1/dead-letters/{}", message(3));
    let one = acme.get(&path).await;
    assert_eq!(one.body["dead_letters"][0]["state"], "open", "{}", one.text);
    other.get(&path).await.assert_problem(404, None);
    for (query, field) in [
        ("error_class=x", "error_class"),
        ("endpoint_id=x", "endpoint_id"),
        ("state=x", "state"),
        ("cursor=x", "cursor"),
        ("replay_id=x", "replay_id"),
    ] {
        acme.get(&format!("/v1/dead-letters?{query}")).await.assert_problem(400, Some(field));
    }
}

#[tokio::test]
async fn a_redrive_is_a_replay_of_the_tenants_own() {
    let api = Fixture::new().await;
    let (acme, other) = (api.tenant("Acme").await, api.tenant("Other").await);
    let mine = acme.endpoint().await.id();
    let input = json!({ "endpoint_id": mine, "error_class": "timeout", "dry_run": true, "rate_per_second": 7 });
    let made = acme.post("/v1/dead-letters/redrive", &input).await;
    assert_eq!(
        (made.status, &made.body["state"], &made.body["kind"]),
        (202, &json!("waiting"), &json!("dead_letters"))
    );
    let job = api.replays.jobs.lock()[0].job.clone();
    assert_eq!((job.tenant.as_ref().map(ToString::to_string), job.rate_per_second), (Some(acme.id.clone()), 7));
    assert!(
        matches!(&job.source, ReplaySource::DeadLetters(query) if query.endpoint.as_ref().is_some_and(|it| *it.as_str() == mine))
    );
    let noted = acme.get("/v1/audit-log?action=dead_letters.redrive").await;
    assert_eq!(noted.body["data"][0]["entity_id"], made.id(), "{}", noted.text);

    let path = format!("/v1/replays/{}", made.id());
    assert_eq!(acme.get(&path).await.body["dry_run"], true);
    other.get(&path).await.assert_problem(404, None);
    other.post(&format!("{path}/cancel"), &json!({})).await.assert_problem(404, None);
    assert_eq!(other.get("/v1/replays").await.body["data"], json!([]));
    assert_eq!(acme.get("/v1/replays").await.body["data"][0]["id"], made.id());
    assert_eq!(acme.post(&format!("{path}/pause"), &json!({})).await.body["desired"], "paused");
    assert_eq!(acme.post(&format!("{path}/resume"), &json!({})).await.body["desired"], "running");
    assert_eq!(acme.post(&format!("{path}/cancel"), &json!({})).await.body["desired"], "cancelled");
    acme.post(&format!("{path}/resume"), &json!({})).await.assert_problem(409, None);

    for (input, field) in [
        (json!({ "error_class": "x" }), "/error_class"),
        (json!({ "rate_per_second": 0 }), "/rate_per_second"),
        (json!({ "message_ids": [] }), "/message_ids"),
        (json!({ "message_ids": ["msg_x"] }), "/message_ids/0"),
        (json!({ "since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z" }), "/until"),
    ] {
        acme.post("/v1/dead-letters/redrive", &input).await.assert_problem(422, Some(field));
    }
    let foreign = json!({ "endpoint_id": mine });
    other.post("/v1/dead-letters/redrive", &foreign).await.assert_problem(404, Some("/endpoint_id"));
}

#[tokio::test]
async fn what_is_purged_is_marked_and_nothing_else() {
    let api = Fixture::new().await;
    let (acme, other) = (api.tenant("Acme").await, api.tenant("Other").await);
    let (mine, theirs) = (acme.endpoint().await.id(), other.endpoint().await.id());
    let done = letter(&acme.id, &mine, 3, "timeout");
    store(
        &api,
        &[
            letter(&acme.id, &mine, 1, "timeout"),
            letter(&acme.id, &mine, 2, "dns"),
            done.clone(),
            letter(&other.id, &theirs, 4, "timeout"),
        ],
    )
    .await;
    redriven(&api, &done, &JobId::from_trusted("job_01hzzzzzzzzzzzzzzzzzzzzzzz"), Timestamp::from_millis(AT)).await;
    let purge = async |input: Value| acme.post("/v1/dead-letters/purge", &input).await;
    let dry = purge(json!({ "error_class": "timeout", "dry_run": true })).await;
    assert_eq!((dry.status, &dry.body), (202, &json!({ "purged": 0, "left": 1 })));
    assert!(api.replays.marks.lock().is_empty());
    let purged = purge(json!({ "error_class": "timeout" })).await;
    assert_eq!(purged.body, json!({ "purged": 1, "left": 0 }), "{}", purged.text);
    let marks = api.replays.marks.lock().clone();
    assert_eq!(
        marks.iter().map(|mark| (&mark.message_id, mark.mark)).collect::<Vec<_>>(),
        [(&message(1), Mark::Purged)]
    );
    purge(json!({})).await.assert_problem(422, Some(""));
}

#[tokio::test]
async fn a_backfill_is_of_the_tenants_own_and_of_a_known_source() {
    let api = Fixture::new().await;
    let (acme, other) = (api.tenant("Acme").await, api.tenant("Other").await);
    let endpoint = acme.endpoint().await;
    let subscription = endpoint.body["subscriptions"][0]["id"].as_str().expect("an id").to_owned();
    let since = "2026-01-01T00:00:00Z";
    let input = json!({ "subscription_id": subscription, "source": "orders", "since": since });
    let made = acme.post("/v1/replays/backfill", &input).await;
    assert_eq!((made.status, &made.body["kind"]), (202, &json!("backfill")), "{}", made.text);
    other.post("/v1/replays/backfill", &input).await.assert_problem(404, Some("/subscription_id"));
    let both =
        json!({ "subscription_id": subscription, "endpoint_id": endpoint.id(), "source": "orders", "since": since });
    acme.post("/v1/replays/backfill", &both).await.assert_problem(422, Some("/endpoint_id"));
    let neither = json!({ "source": "orders", "since": since });
    acme.post("/v1/replays/backfill", &neither).await.assert_problem(422, Some("/subscription_id"));
    let unknown = json!({ "endpoint_id": endpoint.id(), "source": "x", "since": since });
    acme.post("/v1/replays/backfill", &unknown).await.assert_problem(422, Some("/source"));
}

#[tokio::test]
async fn an_operator_has_rejected_records_matched_again() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = "/v1/replays/rejected";
    acme.post(path, &json!({})).await.assert_problem(403, None);
    let operator = async |method, path: &str, tenant: Option<&str>, body: Option<&str>| {
        api.call(method, path, &api.operator_key, tenant, body).await
    };
    let made = operator(Method::POST, path, None, Some(r#"{ "source": "orders", "dry_run": true }"#)).await;
    assert_eq!((made.status, &made.body["kind"]), (202, &json!("rejected")), "{}", made.text);
    let job = api.replays.jobs.lock()[0].job.clone();
    assert_eq!((job.tenant, job.dry_run), (None, true));
    assert!(matches!(job.source, ReplaySource::Rejected(query) if query.source.as_deref() == Some("orders")));
    let replay = format!("/v1/replays/{}", made.id());
    acme.get(&replay).await.assert_problem(404, None);
    assert_eq!(operator(Method::POST, &format!("{replay}/cancel"), None, None).await.status, 202);
    let noted = operator(Method::GET, "/v1/audit-log?action=replay.", None, None).await;
    let actions: Vec<&Value> = noted.body["data"].as_array().expect("a list").iter().map(|it| &it["action"]).collect();
    assert_eq!(actions, ["replay.cancel", "replay.rejected"], "{}", noted.text);

    operator(Method::POST, path, Some(&acme.id), Some("{}")).await;
    let job = api.replays.jobs.lock()[1].job.clone();
    assert_eq!(job.tenant.map(|tenant| tenant.to_string()), Some(acme.id.clone()));
    operator(Method::POST, path, None, Some(r#"{ "source": "" }"#)).await.assert_problem(422, Some("/source"));
}

#[tokio::test]
async fn what_came_of_redrives_is_told_by_error_class() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await.id();
    let job = JobId::from_trusted("job_01hzzzzzzzzzzzzzzzzzzzzzzz");
    let letters = [
        letter(&acme.id, &endpoint, 1, "timeout"),
        letter(&acme.id, &endpoint, 2, "timeout"),
        letter(&acme.id, &endpoint, 3, "dns"),
    ];
    store(&api, &letters).await;
    let at = Timestamp::from_millis(AT + 60_000);
    redriven(&api, &letters[0], &job, at).await;
    redriven(&api, &letters[1], &job, at).await;
    let window = "since=2026-01-31T00:00:00Z&until=2026-02-01T00:00:00Z";
    let results = acme.get(&format!("/v1/replays/results?{window}")).await;
    assert_eq!(results.status, 200, "{}", results.text);
    let timeouts = &results.body["data"][0];
    assert_eq!(
        (&timeouts["error_class"], &timeouts["redriven"], &timeouts["other"]),
        (&json!("timeout"), &json!(2), &json!(2))
    );
    assert_eq!((&timeouts["success_rate"], &results.body["data"][1]), (&Value::Null, &Value::Null));
    let none = format!("/v1/replays/results?{window}&replay_id=job_00000000000000000000000000");
    assert_eq!(acme.get(&none).await.body["data"], json!([]));
    acme.get("/v1/replays/results?since=2026-01-01T00:00:00Z").await.assert_problem(400, Some("since"));
    let operator = api.call(Method::GET, "/v1/replays", &api.operator_key, None, None).await;
    assert_eq!(operator.body["data"], json!([]), "{}", operator.text);
}
