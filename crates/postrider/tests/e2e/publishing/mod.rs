//! Ways in: Kafka clients, the API, and what neither can bring in.

mod from_kafka;
mod over_http;
mod rejected;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [from_kafka::tests(), over_http::tests(), rejected::tests()].into_iter().flatten().collect()
}
