//! Analytics as CSV files.

use poem::{IntoResponse, Response, http::header};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};

use super::analytics_types::{Durations, FailingEndpoints};
use crate::analytics::{Csv, Point};

const CONTENT_TYPE: &str = "text/csv; charset=utf-8";

/// 200 with a table.
pub(crate) struct CsvFile(pub Csv);

impl IntoResponse for CsvFile {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(CONTENT_TYPE)
            .header(header::CONTENT_DISPOSITION, "attachment; filename=\"analytics.csv\"")
            .body(self.0.into_text())
    }
}

impl ApiResponse for CsvFile {
    fn meta() -> MetaResponses {
        let mut schema = MetaSchema::new("string");
        schema.example = Some("at,attempts,delivered\r\n2026-01-31T00:00:00.000Z,1052,998\r\n".into());
        let content = MetaMediaType { content_type: CONTENT_TYPE, schema: MetaSchemaRef::Inline(Box::new(schema)) };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A table, its first line the names of its columns.",
                status: Some(200),
                status_range: None,
                content: vec![content],
                headers: vec![],
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// The points of a series, a line each.
pub(super) fn series_table(points: &[Point]) -> Csv {
    let mut table = Csv::new(&[
        "at",
        "attempts",
        "failed_attempts",
        "delivered",
        "failed",
        "cancelled",
        "skipped",
        "success_rate",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
    ]);
    for Point { at, tally } in points {
        let counts =
            [tally.attempts, tally.failed_attempts, tally.delivered, tally.failed, tally.cancelled, tally.skipped];
        let rate = tally.success_rate().map_or(String::new(), |rate| rate.to_string());
        let row = [at.to_rfc3339()].into_iter().chain(counts.map(|count| count.to_string())).chain([rate]);
        table.row(row.chain(Durations::latency(tally).values()));
    }
    table
}

/// Endpoints that fail, a line each.
pub(super) fn failing_table(found: &FailingEndpoints) -> Csv {
    let columns =
        ["endpoint_id", "tenant_id", "name", "attempts", "failed_attempts", "failure_rate", "delivered", "failed"];
    let mut table = Csv::new(&columns);
    for endpoint in &found.data {
        table.row([
            endpoint.endpoint_id.clone(),
            endpoint.tenant_id.clone(),
            endpoint.name.clone().unwrap_or_default(),
            endpoint.attempts.to_string(),
            endpoint.failed_attempts.to_string(),
            endpoint.failure_rate.map_or(String::new(), |rate| rate.to_string()),
            endpoint.delivered.to_string(),
            endpoint.failed.to_string(),
        ]);
    }
    table
}
