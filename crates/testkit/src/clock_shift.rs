//! Processes with a wrong clock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

const SOURCE: &str = include_str!("clock_shift.c");

/// The environment of a process whose wall clock is so many seconds ahead, or behind if that is negative: a small
/// library that is loaded before the C library, made with the machine's C compiler once a run.
pub fn clock_shift(seconds: i64) -> anyhow::Result<Vec<(String, String)>> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = LIBRARY.get_or_init(|| make_library().map_err(|error| format!("{error:#}")));
    let library = made.as_ref().map_err(|error| anyhow::anyhow!("no process can have a wrong clock: {error}"))?;
    Ok(vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("CLOCK_SHIFT_SECONDS".to_owned(), seconds.to_string()),
    ])
}

/// Makes the library beside this program, where whoever clears up what was built finds it.
fn make_library() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find this program's folder")?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let source = folder.join(format!("clock_shift-{}.c", std::process::id()));
    let library = source.with_extension("so");
    std::fs::write(&source, SOURCE).with_context(|| format!("write {}", source.display()))?;
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl").output();
    std::fs::remove_file(&source).with_context(|| format!("remove {}", source.display()))?;
    let compiled = compiled.context("run the C compiler cc")?;
    ensure!(compiled.status.success(), "cc failed: {}", String::from_utf8_lossy(&compiled.stderr));
    let shared = folder.join("clock_shift.so");
    std::fs::rename(&library, &shared).with_context(|| format!("move to {}", shared.display()))?;
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(environment: Vec<(String, String)>) -> i64 {
        let output = Command::new("date").arg("+%s").envs(environment).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_process_sees_a_wall_clock_that_is_as_wrong_as_asked_for() {
        for shift in [3_600, -3_600] {
            let shown = seconds(clock_shift(shift).unwrap()) - seconds(Vec::new());
            assert!((shown - shift).abs() <= 30, "{shown} s off instead of {shift} s");
        }
    }
}
