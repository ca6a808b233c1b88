//! Watching a replay until it ends: a bar on a terminal, plain lines elsewhere, lines of JSON for programs.

use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use postrider_control::replays::Following;
use postrider_domain::replay::{ReplayJob, ReplayProgress, ReplayState};
use tokio::time::{Instant, sleep_until};

use super::show;

/// How long nobody may begin before the user is told.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);
/// Between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Watches `job` until it ends or the user has seen enough; not at all if `detach`.
pub async fn watch(job: &ReplayJob, mut following: Following, detach: bool, json: bool) -> anyhow::Result<()> {
    if detach {
        if json {
            println!("{}", show::json(job, None));
        } else {
            println!("{}", job.id);
        }
        return Ok(());
    }
    let mut screen = Screen::new(job, json);
    let nobody = sleep_until(Instant::now() + BEGIN_LIMIT);
    tokio::pin!(nobody);
    let mut begun = false;
    let last = loop {
        tokio::select! {
            progress = following.next() => {
                let progress = progress?;
                begun = true;
                screen.show(&progress);
                if progress.state.is_final() {
                    break progress;
                }
            }
            () = &mut nobody, if !begun => {
                begun = true;
                screen.say(&format!(
                    "nobody has begun within {BEGIN_LIMIT:?}: is a process with the role replayer running? It is begun as soon as one is"
                ));
            }
            _ = tokio::signal::ctrl_c() => {
                screen.say(&format!(
                    "no longer watching; it goes on. Look: postrider replay show {0}; end it: postrider replay cancel {0}",
                    job.id
                ));
                return Ok(());
            }
        }
    };
    screen.end(&last);
    match last.state {
        ReplayState::Cancelled => bail!("replay {} was cancelled", job.id),
        ReplayState::Failed => bail!("replay {} failed: {}", job.id, last.message.unwrap_or_default()),
        _ => Ok(()),
    }
}

/// Where progress is shown.
struct Screen<'a> {
    job: &'a ReplayJob,
    json: bool,
    /// Hidden where stderr is no terminal.
    bar: ProgressBar,
    next_line: Instant,
}

impl<'a> Screen<'a> {
    fn new(job: &'a ReplayJob, json: bool) -> Self {
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
        bar.set_style(style.expect("the template is valid"));
        let screen = Self { job, json, bar, next_line: Instant::now() };
        screen.say(&format!("replay {} ({})", job.id, show::kind(&job.source)));
        screen
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn show(&mut self, progress: &ReplayProgress) {
        if self.json {
            println!("{}", show::json(self.job, Some(progress)));
            return;
        }
        let mut text = format!("{}, {:.0}/s", show::counts(Some(progress)), progress.rate);
        if progress.state == ReplayState::Paused {
            text.push_str("; paused");
        }
        if let Some(message) = &progress.message {
            text.push_str("; ");
            text.push_str(message);
        }
        if self.bar.is_hidden() {
            if Instant::now() >= self.next_line {
                self.next_line = Instant::now() + LINE_INTERVAL;
                eprintln!("{text}");
            }
            return;
        }
        let done = u64::try_from(progress.seen).unwrap_or(0);
        self.bar.set_length(done.saturating_add(u64::try_from(progress.remaining).unwrap_or(0)));
        self.bar.set_position(done);
        self.bar.set_message(text);
    }

    fn end(&self, last: &ReplayProgress) {
        self.bar.finish_and_clear();
        if self.json {
            return;
        }
        println!("{}: {}", last.state.as_str(), show::counts(Some(last)));
        if self.job.dry_run {
            show::samples(last);
        }
    }
}
