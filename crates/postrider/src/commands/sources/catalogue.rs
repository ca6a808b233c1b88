//! The catalogue of event types, as the deployment's processes know it.

use std::time::Duration;

use postrider_kafka::{KafkaConfig, Readiness, Shutdown, Topics, codec_of};
use postrider_pipeline::directory::Directory;
use tokio::time::timeout;

/// How long reading it may take.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Reads the directory, which has the event types; none if there is no deployment yet. Error: why it can't be read.
pub async fn read(kafka: &KafkaConfig, topics: &Topics) -> Result<Option<Directory>, String> {
    let Some(codec) = codec_of(kafka, topics).await.map_err(|error| error.to_string())? else { return Ok(None) };
    let (directory, shutdown) = (Directory::new(codec), Shutdown::new());
    let readiness = Readiness::new().register("directory");
    let reading = directory.clone().run(kafka.clone(), topics.clone(), readiness, shutdown.clone());
    tokio::select! {
        ended = reading => Err(ended.err().unwrap_or_default()),
        read = timeout(READ_LIMIT, directory.wait_until_working()) => match read {
            Ok(()) => Ok(Some(directory)),
            Err(_) => Err(directory.status().to_string()),
        }
    }
}
