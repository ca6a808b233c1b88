//! From the arguments of `postrider replay` to what they ask for.

use std::time::Duration;

use anyhow::anyhow;
use postrider_control::replays::{Following, Replays};
use postrider_domain::replay::{DesiredState, ReplayJob, ReplayProgress, ReplayState};
use postrider_kafka::{Shutdown, Topics};

use super::{show, start};
use crate::{
    cli::{JobArguments, Output, Replay},
    config::Loaded,
    connections::{self, Kafka},
    failure::Failure,
};

const NEEDED_BY: &str = "`postrider replay`";
/// How long a process that works on a replay may take to do what is asked of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Runs one of the commands below `replay`.
pub async fn run(command: &Replay, loaded: &Loaded) -> Result<(), Failure> {
    let replays = open(loaded).await?;
    match command {
        Replay::DeadLetters(arguments) => start::dead_letters(&replays, arguments).await?,
        Replay::Rejected(arguments) => start::rejected(&replays, arguments).await?,
        Replay::Backfill(arguments) => start::backfill(&replays, arguments, loaded).await?,
        Replay::List { output } => show::list(&replays.list().await.map_err(anyhow::Error::from)?, *output),
        Replay::Show(JobArguments { id, output }) => {
            let replay = replays.find(id).await.map_err(anyhow::Error::from)?;
            show::one(&replay.job, replay.progress.as_ref(), *output);
        }
        Replay::Pause(arguments) => direct(&replays, arguments, DesiredState::Paused).await?,
        Replay::Resume(arguments) => direct(&replays, arguments, DesiredState::Running).await?,
        Replay::Cancel(arguments) => direct(&replays, arguments, DesiredState::Cancelled).await?,
    }
    Ok(())
}

async fn open(loaded: &Loaded) -> Result<Replays, Failure> {
    let config = connections::kafka_config(loaded, NEEDED_BY)?;
    connections::reach_kafka(&config).await?;
    let topics = Topics::new(&loaded.config.kafka.topic_prefix);
    let tiers = connections::tiers(&loaded.config);
    let kafka = Kafka::open(config, topics, tiers, None, &Shutdown::new()).await?;
    Ok(Replays::new(kafka.config, kafka.topics, kafka.layout, kafka.producer))
}

/// Says what is desired of a replay, and waits until it is so.
async fn direct(replays: &Replays, arguments: &JobArguments, desired: DesiredState) -> anyhow::Result<()> {
    let (job, mut following) = replays.desire(&arguments.id, desired).await?;
    let answer = tokio::time::timeout(ANSWER_LIMIT, answer(&mut following, &job)).await;
    let progress = answer.map_err(|_| {
        anyhow!(
            "replay {} was told, but nothing has answered within {ANSWER_LIMIT:?}: is a process with the role replayer running?",
            job.id
        )
    })??;
    show::one(&job, Some(&progress), arguments.output);
    Ok(())
}

async fn answer(following: &mut Following, job: &ReplayJob) -> anyhow::Result<ReplayProgress> {
    loop {
        let progress = following.next().await?;
        let wanted = match job.desired {
            DesiredState::Running => progress.state != ReplayState::Paused,
            DesiredState::Paused => progress.state != ReplayState::Running,
            DesiredState::Cancelled => progress.state.is_final(),
        };
        if wanted {
            return Ok(progress);
        }
    }
}

/// One line of JSON about a replay.
pub(super) fn print_json(job: &ReplayJob, progress: Option<&ReplayProgress>) {
    println!("{}", show::json(job, progress));
}

/// Whether progress is printed for programs.
pub(super) fn is_json(output: Output) -> bool {
    output == Output::Json
}
