//! What is seen while the demonstration runs: one line that is redrawn on a terminal, a line a second otherwise.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::publish::Written;
use super::scenario::{EVENTS, PARTS};
use crate::Receiver;

/// How often progress is shown where lines stay.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is redrawn on a terminal.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Where progress goes.
pub struct Progress {
    redraws: bool,
}

impl Progress {
    /// On standard output.
    pub fn on_stdout() -> Self {
        Self { redraws: std::io::stdout().is_terminal() }
    }

    /// Shows progress until it is dropped.
    pub async fn show(&self, written: &Written, receiver: &Receiver) {
        let mut interval = tokio::time::interval(if self.redraws { REDRAW_INTERVAL } else { LINE_INTERVAL });
        interval.tick().await;
        loop {
            interval.tick().await;
            self.draw(&line(written, receiver));
        }
    }

    /// Shows where it stands in the end.
    pub fn finish(&self, written: &Written, receiver: &Receiver) {
        self.draw(&line(written, receiver));
        if self.redraws {
            println!();
        }
    }

    fn draw(&self, line: &str) {
        if self.redraws {
            print!("\r\x1b[2K{line}");
            // Progress that can't be shown is not worth stopping for.
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
    }
}

fn line(written: &Written, receiver: &Receiver) -> String {
    let requests = PARTS.iter().map(|part| format!("{} {}", part.name, receiver.count(&part.path())));
    let requests: Vec<String> = requests.collect();
    format!("  written {:>4}/{EVENTS} | requests received: {}", written.count(), requests.join(", "))
}
