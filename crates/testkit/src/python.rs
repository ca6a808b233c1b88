//! Programs in Python, as users' services are written in it: they produce with clients that are not ours.
//!
//! `make setup` makes the virtual environment, with the packages of `scripts/producers/requirements.txt`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// Names the virtual environment, when it is not the one that `make setup` makes.
pub const PYTHON_VARIABLE: &str = "POSTRIDER_PRODUCERS_DIR";

const LIMIT: Duration = Duration::from_mins(1);

/// Runs a program with these environment variables, and answers what it printed.
pub async fn run_python(program: &Path, environment: &[(&str, &str)]) -> anyhow::Result<String> {
    let python = interpreter()?;
    let run = Command::new(&python)
        .arg(program)
        .envs(environment.iter().copied())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run).await;
    let output = output.with_context(|| format!("{} still runs after {LIMIT:?}", program.display()))?;
    let output = output.with_context(|| format!("run {}", python.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {said}", program.display(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn interpreter() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os(PYTHON_VARIABLE)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/producers"), PathBuf::from);
    let python = folder.join("bin/python");
    if !python.is_file() {
        bail!("there is no Python environment with the producers' packages in {}: run `make setup`", folder.display());
    }
    Ok(python)
}
