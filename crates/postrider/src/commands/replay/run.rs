//! From the arguments of `postrider replay` to what they ask for.

use std::time::Duration;

use anyhow::anyhow;
use postrider_control::replays::{Following, Replays};
use postrider_domain::{
    JobId,
    replay::{DesiredState, ReplayJob, ReplayProgress, ReplayState},
};
use postrider_kafka::{Shutdown, Topics};

use super::{over_http, show, start::Start};
use crate::{
    cli::{JobArguments, Replay, ReplayArguments},
    config::{ConfigError, Loaded},
    connections::{self, Kafka},
    failure::Failure,
};

const NEEDED_BY: &str = "`postrider replay`";
/// How long a process that works on a replay may take to do what is asked of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Runs one of the commands below `replay`; `load` reads the configuration if Kafka is to be worked on.
pub async fn run(
    arguments: &ReplayArguments,
    load: impl FnOnce() -> Result<Loaded, ConfigError>,
) -> Result<(), Failure> {
    if let Some(server) = arguments.server() {
        return over_http::run(&arguments.command, &server).await;
    }
    let loaded = load()?;
    let replays = open(&loaded).await?;
    let json = arguments.is_json();
    let start = Start { replays: &replays, tenant: arguments.tenant.as_ref(), json };
    match &arguments.command {
        Replay::DeadLetters(arguments) => start.dead_letters(arguments).await?,
        Replay::Rejected(arguments) => start.rejected(arguments).await?,
        Replay::Backfill(arguments) => start.backfill(arguments, &loaded).await?,
        Replay::List => show::list(&replays.list().await.map_err(anyhow::Error::from)?, json),
        Replay::Show(JobArguments { id }) => {
            let replay = replays.find(id).await.map_err(anyhow::Error::from)?;
            show::one(&replay.job, replay.progress.as_ref(), json);
        }
        Replay::Pause(JobArguments { id }) => direct(&replays, id, DesiredState::Paused, json).await?,
        Replay::Resume(JobArguments { id }) => direct(&replays, id, DesiredState::Running, json).await?,
        Replay::Cancel(JobArguments { id }) => direct(&replays, id, DesiredState::Cancelled, json).await?,
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
async fn direct(replays: &Replays, id: &JobId, desired: DesiredState, json: bool) -> anyhow::Result<()> {
    let (job, mut following) = replays.desire(id, desired).await?;
    let answer = tokio::time::timeout(ANSWER_LIMIT, answer(&mut following, &job)).await;
    let progress = answer.map_err(|_| {
        anyhow!(
            "replay {} was told, but nothing has answered within {ANSWER_LIMIT:?}: is a process with the role replayer running?",
            job.id
        )
    })??;
    show::one(&job, Some(&progress), json);
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
