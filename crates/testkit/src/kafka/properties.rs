//! What a test broker is configured with.

use std::fmt::Write as _;
use std::path::Path;

/// One broker's id and ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broker {
    /// `node.id`, from 1.
    pub(super) id: u16,
    /// Clients connect here.
    pub(super) port: u16,
    /// Controllers talk here.
    pub(super) controller_port: u16,
}

/// One line a log entry, to standard output, which goes to the broker's log file.
pub(super) const LOG4J2: &str = "\
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d %p %m (%c{1})%n
rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=stdout
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
";

/// Settings that every broker has. Messages of up to 8 MiB, so that a record at our own limit is ours to refuse. A killed
/// broker is missed, and let in again, after 4 s (by default 9 s).
const COMMON: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
socket.request.max.bytes=104857600
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.io.buffer.size=262144
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
";

/// The text of `server.properties` for `brokers[index]`, whose data goes to `folder`.
pub(super) fn server_properties(index: usize, brokers: &[Broker], folder: &Path) -> String {
    let Broker { id, port, controller_port } = brokers[index];
    let voters: Vec<String> =
        brokers.iter().map(|broker| format!("{}@127.0.0.1:{}", broker.id, broker.controller_port)).collect();
    let replicas = brokers.len();
    let min_in_sync = replicas.div_ceil(2);
    let mut text = COMMON.to_owned();
    write!(
        text,
        "node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={folder}
default.replication.factor={replicas}
min.insync.replicas={min_in_sync}
offsets.topic.replication.factor={replicas}
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={min_in_sync}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={min_in_sync}
",
        voters = voters.join(","),
        folder = folder.join("data").display(),
    )
    .expect("a String takes any text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_brokers_replicate_three_times_and_need_two() {
        let broker = |id| Broker { id, port: 1000 + id, controller_port: 2000 + id };
        let text = server_properties(1, &[broker(1), broker(2), broker(3)], Path::new("/x"));
        for line in [
            "node.id=2",
            "controller.quorum.voters=1@127.0.0.1:2001,2@127.0.0.1:2002,3@127.0.0.1:2003",
            "log.dirs=/x/data",
            "min.insync.replicas=2",
            "offsets.topic.replication.factor=3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
        }
    }
}
