//! What a process, and what it started, takes of the machine: CPU time and memory, as Linux tells.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// `USER_HZ`, in which the kernel tells CPU times; the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: u32 = 100;
const KIBIBYTE: u64 = 1024;

/// CPU time (user and system) that process `pid` has used since it started; zero once it is gone.
pub fn cpu_time(pid: u32) -> Duration {
    stat(pid).map_or(Duration::ZERO, |stat| ticks(stat.own))
}

/// The same for a process and all that it started, those that have ended among them.
pub fn cpu_time_of_tree(root: u32) -> Duration {
    let all = stats();
    let sum = tree(root, &all).into_iter().filter_map(|pid| all.get(&pid)).map(|stat| stat.own + stat.ended).sum();
    ticks(sum)
}

/// Memory of process `pid` that is in RAM, bytes (`VmRSS`); zero once it is gone.
pub fn resident_bytes(pid: u32) -> u64 {
    field(format!("/proc/{pid}/status").into(), "VmRSS:")
}

/// Memory of a process and all that it started, bytes, what several share counted once (`Pss`).
pub fn proportional_bytes_of_tree(root: u32) -> u64 {
    let all = stats();
    tree(root, &all).into_iter().map(|pid| field(format!("/proc/{pid}/smaps_rollup").into(), "Pss:")).sum()
}

/// What `/proc/<pid>/stat` says of one process.
struct Stat {
    parent: u32,
    /// Ticks of its own.
    own: u64,
    /// Ticks of its children that have ended and were waited for.
    ended: u64,
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_secs(ticks) / TICKS_PER_SECOND
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the name, in parentheses, which may hold anything: what follows is counted from behind it.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: number(11)? + number(12)?,
        ended: number(13)? + number(14)?,
    })
}

/// Every process of this machine.
fn stats() -> HashMap<u32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

/// A process and its descendants.
fn tree(root: u32, all: &HashMap<u32, Stat>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// The value, in bytes, of a line `<name> <number> kB`.
fn field(file: PathBuf, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * KIBIBYTE
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = parse_stat("7 (a ) b) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0").unwrap();
        assert_eq!((stat.parent, stat.own, stat.ended), (3, 110, 15));
    }

    #[test]
    fn the_tree_has_the_cpu_of_a_child_that_worked_and_its_memory() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let us = std::process::id();
        let before = cpu_time_of_tree(us);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while cpu_time(child.id()) < Duration::from_millis(100) {
            assert!(tokio::time::Instant::now() < deadline, "a busy child uses no CPU");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(cpu_time_of_tree(us) >= before + Duration::from_millis(50));
        assert!(proportional_bytes_of_tree(us) > 0 && resident_bytes(us) > 1 << 20);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((cpu_time(child.id()), resident_bytes(child.id())), (Duration::ZERO, 0), "it is gone");
    }
}
