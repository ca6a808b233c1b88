//! Addresses are vetted again at every delivery, since names and rules change.

use std::net::IpAddr;

use postrider_testkit::DnsServer;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_name_that_turns_private_is_refused_and_its_address_never_reached,
        an_address_that_is_no_longer_allowed_is_refused
    ]
}

const NAME: &str = "hooks.example.test";

async fn a_name_that_turns_private_is_refused_and_its_address_never_reached(context: Context) {
    // 127.0.0.1 is allowed and stands for a public address; everything else is as it is.
    let dns = DnsServer::start().await.unwrap();
    let (public, private): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [10, 1, 2, 3].into());
    dns.set(NAME, &[public]);
    let configuration =
        format!("[egress]\nallowed_networks = [\"127.0.0.1/32\"]\ndns_servers = [\"{}\"]", dns.address());
    let deployment = Deployment::with(&context, "rebinding", &configuration).await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver_named(&[NAME]).await;
    let port = receiver.address().port();
    let once = json!({"event_types": ["once"], "retry": {"delays_seconds": []}});
    let url = |path: &str| format!("https://{NAME}:{port}{path}");
    let refused = Hook::create_at(&tenant, &receiver, "/refused", url("/refused"), once).await;
    let retried = json!({"event_types": ["retried"], "retry": {"delays_seconds": [1, 1, 1, 1, 1, 1, 1, 1]}});
    let recovers = Hook::create_at(&tenant, &receiver, "/recovers", url("/recovers"), retried).await;
    deployment.synced().await;

    // After the endpoints were accepted, the name leads elsewhere; one private address among public ones is enough.
    for (id, addresses) in [("1", vec![private]), ("2", vec![public, private]), ("3", vec!["::1".parse().unwrap()])] {
        dns.set(NAME, &addresses);
        deployment.write(&event(&deployment, &tenant, id, "once", &json!(id))).await;
        let run = tenant.delivery(&refused.message_id(id), "failed").await;
        assert_eq!(run["delivery"]["last_error"], "address_refused", "{addresses:?}: {run:#}");
    }
    assert_eq!(refused.count(), 0, "the receiver was reached");

    // It may lead back: refusals are retried as the policy says.
    deployment.write(&event(&deployment, &tenant, "4", "retried", &json!(4))).await;
    let run = tenant.delivery(&recovers.message_id("4"), "retrying").await;
    assert_eq!(run["delivery"]["last_error"], "address_refused");
    dns.set(NAME, &[public]);
    recovers.wait_for(1).await;
}

async fn an_address_that_is_no_longer_allowed_is_refused(context: Context) {
    let mut deployment = Deployment::start(&context, "rules").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let url = format!("https://127.0.0.1:{}/hook", receiver.address().port());
    let once = json!({"retry": {"delays_seconds": []}});
    let hook = Hook::create_at(&tenant, &receiver, "/hook", url, once).await;
    deployment.synced().await;
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(1))).await;
    hook.wait_for(1).await;

    deployment.terminate().await;
    deployment.settings = deployment.settings.with("[egress]\nallowed_networks = []");
    deployment.start_all().await;
    deployment.write(&event(&deployment, &tenant, "2", "order.created", &json!(2))).await;
    let run = tenant.at(&deployment).delivery(&hook.message_id("2"), "failed").await;
    assert_eq!(run["delivery"]["last_error"], "address_refused");
    assert_eq!(hook.count(), 1, "the receiver was reached");
}
