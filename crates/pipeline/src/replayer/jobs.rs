//! The jobs of one partition: what is desired of each, where it stands, and who works on it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use postrider_domain::{
    JobId,
    replay::{ReplayJob, ReplayProgress, Tally},
};
use postrider_kafka::{ProduceError, Sink};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{
    desired::{Step, next_step},
    job::{Order, Run},
    logs::Logs,
    shared::Shared,
};
use crate::stage::StageError;

/// The jobs of one partition.
pub(super) struct Jobs<S, L: Logs> {
    shared: Arc<Shared<S, L>>,
    open: BTreeMap<JobId, Open>,
    /// Those that have ended for good: only their ids.
    ended: HashSet<JobId>,
    tasks: JoinSet<Result<ReplayProgress, ProduceError>>,
}

/// A job that has not ended.
struct Open {
    job: ReplayJob,
    progress: Option<ReplayProgress>,
    /// Orders to the task that works on it.
    at_work: Option<watch::Sender<Order>>,
}

impl<S: Sink, L: Logs> Jobs<S, L> {
    /// None yet.
    pub(super) fn new(shared: Arc<Shared<S, L>>) -> Self {
        Self { shared, open: BTreeMap::new(), ended: HashSet::new(), tasks: JoinSet::new() }
    }

    /// Takes note of what is desired of a job.
    pub(super) fn desire(&mut self, job: ReplayJob) {
        if self.ended.contains(&job.id) {
            return;
        }
        match self.open.get_mut(&job.id) {
            Some(open) => open.job = job,
            None => {
                self.open.insert(job.id.clone(), Open { job, progress: None, at_work: None });
            }
        }
    }

    /// Takes note of where a job stands.
    pub(super) fn stands(&mut self, progress: ReplayProgress) {
        let Some(open) = self.open.get_mut(&progress.job) else { return };
        if progress.state.is_final() {
            self.open.remove(&progress.job);
            self.ended.insert(progress.job);
        } else {
            open.progress = Some(progress);
        }
    }

    /// The jobs that have not ended.
    pub(super) fn ids(&self) -> impl Iterator<Item = &JobId> {
        self.open.keys()
    }

    /// Does what brings each job to what is desired. Error: nothing can be written any more.
    pub(super) async fn act(&mut self) -> Result<(), StageError> {
        let mut told = Vec::new();
        for (id, open) in &mut self.open {
            let stands = open.progress.as_ref().map(|progress| progress.state);
            match next_step(open.job.desired, stands, open.at_work.is_some()) {
                Step::Nothing => {}
                Step::Start => {
                    let (orders, order) = watch::channel(Order::GoOn);
                    tracing::info!(job = %id, "a replay begins or goes on");
                    let run = Run::new(self.shared.clone(), open.job.clone(), open.progress.clone(), order);
                    self.tasks.spawn(run.run());
                    open.at_work = Some(orders);
                }
                Step::Pause => open.order(Order::Pause),
                Step::Cancel => open.order(Order::Cancel),
                Step::Tell(state) => {
                    let now = self.shared.now();
                    let mut tally = Tally::new(id.clone(), open.progress.clone(), now);
                    let remaining = open.progress.as_ref().map_or(0, |progress| progress.remaining);
                    told.push(ReplayProgress { remaining, ..tally.at(state, now) });
                }
            }
        }
        for progress in told {
            self.shared.tell(&progress).await?;
            self.stands(progress);
        }
        Ok(())
    }

    /// Waits until a task ends, and takes note of where it left its job; never, while none is at work. Cancel-safe.
    pub(super) async fn task_ended(&mut self) -> Result<(), StageError> {
        match self.tasks.join_next().await {
            Some(ended) => self.take(ended),
            None => std::future::pending().await,
        }
    }

    fn take(&mut self, ended: Result<Result<ReplayProgress, ProduceError>, JoinError>) -> Result<(), StageError> {
        let progress = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        if let Some(open) = self.open.get_mut(&progress.job) {
            open.at_work = None;
        }
        self.stands(progress);
        Ok(())
    }

    /// Stops all work, which goes on elsewhere.
    pub(super) async fn let_go(mut self) -> Result<(), StageError> {
        for open in self.open.values_mut() {
            open.order(Order::LetGo);
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.take(ended)?;
        }
        Ok(())
    }
}

impl Open {
    fn order(&mut self, order: Order) {
        if let Some(orders) = &self.at_work {
            orders.send_replace(order);
        }
    }
}
