//! One process' clock is an hour ahead, another's an hour behind.

use std::time::Duration;

use postrider_testkit::{Behaviour, clock_shift, eventually};
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Service, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![with_one_clock_ahead_and_one_behind_retries_are_on_time_and_nothing_spins]
}

const HOUR_SECONDS: i64 = 3_600;
/// So many that every partition has some, whoever owns it.
const ENDPOINTS: usize = 16;
const DATA_PLANE: [&str; 2] = ["--roles", "api,matcher,dispatcher,retrier"];
/// The share of a core that a process may use while it waits: a debug build, but waiting.
const MAX_CPU_SHARE: f64 = 0.5;

async fn with_one_clock_ahead_and_one_behind_retries_are_on_time_and_nothing_spins(context: Context) {
    let settings = "[retry]\ntiers = [\"1s\", \"5s\"]";
    let mut deployment = Deployment::prepare(&context, "clocks", settings).await;
    deployment.start_roles(&["--roles", "api,relay,projector"]).await;
    let mut services =
        [HOUR_SECONDS, -HOUR_SECONDS].map(|shift| deployment.serve_in(&DATA_PLANE, clock_shift(shift).unwrap()));
    for service in &mut services {
        service.ready().await;
    }
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let retry = json!({"retry": {"delays_seconds": [1, 5]}});
    let mut hooks = Vec::new();
    for number in 0..ENDPOINTS {
        hooks.push(Hook::create(&tenant, &receiver, &format!("/{number}"), retry.clone()).await);
    }
    for service in &services {
        deployment.synced_in(service).await;
    }
    let mut warmed = 0;
    eventually(LIMIT, "both processes to send", async || {
        warmed += 1;
        let id = format!("warm-up-{warmed}");
        deployment.write(&event(&deployment, &tenant, &id, "order.created", &json!(null))).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let sent = [
            services[0].metric("postrider_attempts_total").await?,
            services[1].metric("postrider_attempts_total").await?,
        ];
        (sent[0] > 0.0 && sent[1] > 0.0).then_some(())
    })
    .await;
    for (number, hook) in hooks.iter().enumerate() {
        hook.wait_for(warmed).await;
        receiver.behave(&format!("/{number}"), Behaviour::FailEach(2, 503));
    }

    let before = services.each_ref().map(Service::cpu_time);
    let begun = tokio::time::Instant::now();
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!({"total": 1.10}))).await;
    for hook in &hooks {
        let received = hook.wait_for(warmed + 3).await;
        let tries = &received[warmed..];
        assert!(tries.iter().all(|request| request.webhook_id() == hook.message_id("1")));
        for (pair, delay) in tries.windows(2).zip([1.0, 5.0]) {
            let pause = pair[1].at.since(pair[0].at).as_secs_f64();
            assert!((delay * 0.8..delay * 1.1 + 3.0).contains(&pause), "waited {pause} s instead of {delay} s");
        }
    }
    let waited = begun.elapsed();
    for (service, before) in services.iter().zip(before) {
        let share = service.cpu_time().saturating_sub(before).as_secs_f64() / waited.as_secs_f64();
        println!("clocks: {:.0} % of a core over {waited:?}", share * 100.0);
        assert!(share < MAX_CPU_SHARE, "a process used {:.0} % of a core while it waited", share * 100.0);
    }
    for hook in &hooks {
        tenant.delivery(&hook.message_id("1"), "delivered").await;
        assert_eq!(hook.count(), warmed + 3, "each attempt once");
    }
    for service in &mut services {
        assert!(service.terminate().await.success());
    }
}
