//! What `make demo` shows is so, and its verdict can fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

/// The demonstration of the `postrider` beside it.
fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_demo")).args(arguments).output().unwrap()
}

#[test]
fn the_demonstration_agrees_with_itself() {
    let output = demo(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("signatures verified"), "{said}");
}

#[test]
fn a_wrong_expectation_is_noticed() {
    let output = demo(&["--plant-wrong-expectation"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("expected 81, is 80"), "{said}");
}
