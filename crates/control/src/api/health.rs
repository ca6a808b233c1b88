//! `/healthz`, `/readyz`, `/metrics`: for orchestrators and Prometheus; they need no key.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    payload::{Json, PlainText},
    types::Example,
};

use super::{openapi::Tag, state::ApiState};

/// The operations.
pub(crate) struct Health;

/// Whether the process can work, part by part.
#[derive(Debug, Object)]
#[oai(example)]
struct ReadinessReport {
    /// `ready` if every part is.
    status: ReadinessStatus,
    /// Every part of this process.
    parts: Vec<PartReadiness>,
}

/// Whether something can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum ReadinessStatus {
    /// It can.
    Ready,
    /// It can't, for now.
    Unready,
}

/// Whether one part can work.
#[derive(Debug, Object)]
struct PartReadiness {
    /// The part, as `matcher` or `relay`.
    name: String,
    /// Whether it can work.
    status: ReadinessStatus,
    /// Why not, where it can't.
    #[oai(skip_serializing_if_is_none)]
    reason: Option<String>,
}

impl Example for ReadinessReport {
    fn example() -> Self {
        Self::of(vec![
            ("matcher".to_owned(), Ok(())),
            ("relay".to_owned(), Err("another process holds the lock".to_owned())),
        ])
    }
}

impl ReadinessReport {
    fn of(parts: Vec<(String, Result<(), String>)>) -> Self {
        let parts: Vec<_> = parts
            .into_iter()
            .map(|(name, state)| {
                let status = if state.is_ok() { ReadinessStatus::Ready } else { ReadinessStatus::Unready };
                PartReadiness { name, status, reason: state.err() }
            })
            .collect();
        let ready = parts.iter().all(|part| part.status == ReadinessStatus::Ready);
        Self { status: if ready { ReadinessStatus::Ready } else { ReadinessStatus::Unready }, parts }
    }
}

/// Whether the process is ready.
#[derive(ApiResponse)]
enum ReadinessAnswer {
    /// Every part can work.
    #[oai(status = 200)]
    Ready(Json<ReadinessReport>),
    /// Some part can't; it says why.
    #[oai(status = 503)]
    Unready(Json<ReadinessReport>),
}

/// That the process lives.
#[derive(ApiResponse)]
enum HealthAnswer {
    /// The process lives.
    #[oai(status = 200)]
    Alive(PlainText<&'static str>),
}

/// The process's metrics.
#[derive(ApiResponse)]
enum MetricsAnswer {
    /// Every metric of this process, as Prometheus text.
    #[oai(status = 200)]
    Metrics(PlainText<String>),
}

#[expect(clippy::unused_async, reason = "the macro takes only async functions")]
#[OpenApi(tag = "Tag::Health")]
impl Health {
    /// Tell that the process lives
    ///
    /// Answers 200 as long as the process can answer at all; for a liveness probe.
    #[oai(path = "/healthz", method = "get", operation_id = "getHealth")]
    async fn health(&self) -> HealthAnswer {
        HealthAnswer::Alive(PlainText("ok\n"))
    }

    /// Tell whether every part can work
    ///
    /// For a readiness probe. 503 names the parts that can't work and why.
    #[oai(path = "/readyz", method = "get", operation_id = "getReadiness")]
    async fn readiness(&self, Data(state): Data<&ApiState>) -> ReadinessAnswer {
        let report = ReadinessReport::of(state.readiness.report());
        match report.status {
            ReadinessStatus::Ready => ReadinessAnswer::Ready(Json(report)),
            ReadinessStatus::Unready => ReadinessAnswer::Unready(Json(report)),
        }
    }

    /// Tell metrics
    ///
    /// Prometheus text format.
    #[oai(path = "/metrics", method = "get", operation_id = "getMetrics")]
    async fn metrics(&self, Data(state): Data<&ApiState>) -> MetricsAnswer {
        MetricsAnswer::Metrics(PlainText((state.metrics)()))
    }
}
