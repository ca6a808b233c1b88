//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_millis(15);

/// Asks `condition` every few milliseconds until it gives a value, which is returned.
///
/// # Panics
/// Once `limit` is over, naming `what` was waited for.
pub async fn eventually<T>(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_the_first_value() {
        let mut asked = 0;
        let value = eventually(Duration::from_secs(1), "the third answer", async || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(value.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "waited 50ms in vain for godot")]
    async fn it_names_what_never_came() {
        eventually(Duration::from_millis(50), "godot", async || None::<()>).await;
    }
}
