//! `make demo`: see [`postrider_testkit::demo`].

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use postrider_testkit::demo::{DemoOptions, run};

const HELP: &str = "\
Shows Postrider at work: starts `postrider dev`, writes 1,000 events, and checks what became of them.

Usage: demo [--keep] [--plant-wrong-expectation]

  --keep                     stay up afterwards and print what to try next (or KEEP=1)
  --plant-wrong-expectation  expect one delivery too many, so that the verdict fails (or PLANT=1)

The binary is the `postrider` beside this program, or the one that POSTRIDER_BIN names.
Exit codes: 0 everything agrees, 1 it does not.";

fn main() -> ExitCode {
    let mut keep = is_set("KEEP");
    let mut plant = is_set("PLANT");
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--keep" => keep = true,
            "--plant-wrong-expectation" => plant = true,
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("demo: unknown argument '{other}'\n\n{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    match demonstrate(keep, plant) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("demo: what Postrider did is not what was expected (see ✗ above)");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(keep: bool, plant: bool) -> anyhow::Result<bool> {
    // It fails only if a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().context("start the asynchronous runtime")?;
    runtime.block_on(run(&DemoOptions { program: program()?, keep, plant }))
}

/// Whether an environment variable is set to something that means yes.
fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

fn program() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("POSTRIDER_BIN") {
        return Ok(named.into());
    }
    let this = std::env::current_exe().context("find this program's own path")?;
    let program = this.with_file_name("postrider");
    anyhow::ensure!(program.is_file(), "there is no {}: run `cargo build -p postrider` first", program.display());
    Ok(program)
}
