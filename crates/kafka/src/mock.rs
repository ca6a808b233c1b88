//! The in-process broker of `postrider dev`: librdkafka's mock cluster. It keeps about 5 MiB a partition,
//! compacts nothing, looks up no offset by time, and forgets everything when it stops.

use std::{sync::mpsc, thread::JoinHandle};

use rdkafka::mocking::MockCluster;

/// A running in-process broker; stops when dropped.
#[derive(Debug)]
pub struct MockBroker {
    bootstrap_servers: String,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockBroker {
    /// Starts a broker with these topics, each with its number of partitions.
    pub fn start(topics: Vec<(String, i32)>) -> Result<Self, String> {
        let (on_started, started) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        // The cluster's handle may not leave the thread that made it.
        let run = move || {
            let cluster = match create(&topics) {
                Ok(cluster) => cluster,
                Err(error) => return drop(on_started.send(Err(error))),
            };
            // An error of either channel means that the owner is gone: then this ends as well.
            let _ = on_started.send(Ok(cluster.bootstrap_servers()));
            let _ = stopped.recv();
        };
        let thread = std::thread::Builder::new().name("mock broker".to_owned()).spawn(run);
        let thread = thread.map_err(|error| format!("can't start a thread: {error}"))?;
        let bootstrap_servers = started.recv().map_err(|_| "the in-process broker ended at once".to_owned())??;
        Ok(Self { bootstrap_servers, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens: any Kafka client on this machine can connect.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

fn create(topics: &[(String, i32)]) -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>, String> {
    let cluster = MockCluster::new(1).map_err(|error| format!("the in-process broker can't start: {error}"))?;
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).map_err(|error| format!("topic '{topic}': {error}"))?;
    }
    Ok(cluster)
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It ends as soon as its channel closes; a panic of it was printed where it happened.
            let _ = thread.join();
        }
    }
}
