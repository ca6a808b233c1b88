//! The servers that a measurement runs on, and what they take of the machine.

use std::time::Duration;

use anyhow::Context as _;
use postrider_testkit::usage::{cpu_time, cpu_time_of_tree};
use postrider_testkit::{KafkaCluster, LocalPostgres};

/// One broker and one database server of our own.
pub struct Servers {
    /// Kafka.
    pub kafka: KafkaCluster,
    /// Postgres.
    pub postgres: LocalPostgres,
}

/// CPU time used so far.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    /// By Postrider's process.
    pub postrider: Duration,
    /// By the broker.
    pub kafka: Duration,
    /// By Postgres, all its processes.
    pub postgres: Duration,
}

impl Servers {
    /// Starts both.
    pub async fn start() -> anyhow::Result<Self> {
        let (kafka, postgres) = tokio::join!(KafkaCluster::start_as_shipped(1), LocalPostgres::start(None));
        Ok(Self { kafka: kafka.context("start Kafka")?, postgres: postgres.context("start Postgres")? })
    }

    /// What they and process `postrider` have used so far.
    pub fn cpu(&self, postrider: u32) -> Cpu {
        Cpu {
            postrider: cpu_time(postrider),
            kafka: self.kafka.pid(0).map_or(Duration::ZERO, cpu_time),
            postgres: self.postgres.pid().map_or(Duration::ZERO, cpu_time_of_tree),
        }
    }

    /// Stops both.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let (kafka, postgres) = tokio::join!(self.kafka.stop(), self.postgres.stop());
        kafka.context("stop Kafka")?;
        postgres.context("stop Postgres")
    }
}

impl Cpu {
    /// What was used since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            postrider: self.postrider.saturating_sub(before.postrider),
            kafka: self.kafka.saturating_sub(before.kafka),
            postgres: self.postgres.saturating_sub(before.postgres),
        }
    }

    /// Of all three.
    pub fn sum(self) -> Duration {
        self.postrider + self.kafka + self.postgres
    }
}
