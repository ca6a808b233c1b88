//! `postrider replay`, as its users call it.

use serde_json::Value;

use crate::support::{Deployment, postrider};

/// Runs `postrider replay` with these arguments. Answers its exit code and the last line of JSON that it printed.
pub async fn replay(deployment: &Deployment, arguments: &[&str]) -> (i32, Value) {
    let arguments: Vec<&str> = ["replay"].iter().chain(arguments).chain(&["--output", "json"]).copied().collect();
    let finished = postrider(&arguments, Some(&deployment.settings.to_text()), &[]).await;
    let last = finished.stdout.lines().last();
    let last = last.map_or_else(|| panic!("{finished:?}"), |line| serde_json::from_str(line).unwrap());
    (finished.code, last)
}
