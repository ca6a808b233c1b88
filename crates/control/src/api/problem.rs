//! Errors as the API answers them: `application/problem+json` (RFC 9457) with a stable `type`.

use std::time::Duration;

use poem::{
    IntoResponse, Response,
    error::{MethodNotAllowedError, NotFoundError, ParseQueryError, ReadBodyError, ResponseError},
    http::{StatusCode, header},
};
use poem_openapi::{
    Object,
    error::{AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError},
    types::Example,
};
use postrider_postgres::{is_unavailable, took_too_long};

use crate::{secret_text::without_secrets, security::SecurityKind};

pub(crate) use super::problem_groups::{
    ActionProblem, ChangeProblem, DirectProblem, OpenProblem, OrderProblem, PayloadProblem, ReadProblem, WriteProblem,
};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The most characters of a detail: it may quote what was sent.
const MAX_DETAIL_CHARACTERS: usize = 500;

/// What kind of problem: decides status, `type` and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request can't be read: not JSON, or a bad parameter.
    BadRequest,
    /// No key, or not one that works.
    Unauthenticated,
    /// The key may not do this.
    Forbidden,
    /// The key's tenant is suspended.
    TenantSuspended,
    /// There is no such thing, or not for this tenant.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// It can't be done to the thing as it is.
    Conflict,
    /// `If-Match` names another version than the present one.
    PreconditionFailed,
    /// Kafka does not have the payload any more.
    PayloadGone,
    /// The body is over the limit.
    PayloadTooLarge,
    /// The body is not JSON by its content type.
    UnsupportedMediaType,
    /// The body was read and a value in it can't be accepted.
    Validation,
    /// More than what is allowed in a time.
    RateLimited,
    /// The address tried too many keys that don't work.
    LockedOut,
    /// Our own failure.
    Internal,
    /// Something that the request needs is away for now.
    Unavailable,
}

impl ProblemKind {
    /// Every kind, by status.
    pub const ALL: &'static [Self] = &[
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::TenantSuspended,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::PayloadGone,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::Validation,
        Self::RateLimited,
        Self::LockedOut,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Status, last part of the type, title.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request can't be read"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "A valid API key is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The API key may not do this"),
            Self::TenantSuspended => (StatusCode::FORBIDDEN, "tenant-suspended", "The tenant is suspended"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method")
            }
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Not possible as things are"),
            Self::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "precondition-failed", "It was changed meanwhile")
            }
            Self::PayloadGone => (StatusCode::GONE, "payload-gone", "The payload is not kept any more"),
            Self::PayloadTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", "The request's body is too large")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body must be application/json")
            }
            Self::Validation => (StatusCode::UNPROCESSABLE_ENTITY, "validation", "A value can't be accepted"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests"),
            Self::LockedOut => (StatusCode::TOO_MANY_REQUESTS, "locked-out", "Too many keys that don't work"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Postrider failed"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available for now"),
        }
    }

    /// The last part of its type, and its title.
    pub(crate) fn name_and_title(self) -> (&'static str, &'static str) {
        let (_, name, title) = self.parts();
        (name, title)
    }

    /// The status that it is answered with.
    pub fn status(self) -> StatusCode {
        self.parts().0
    }
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    kind: ProblemKind,
    detail: String,
    field: Option<String>,
    /// What it is noted as in the security events, if it is.
    noted_as: Option<SecurityKind>,
    retry_after: Option<Duration>,
}

/// A problem as it is answered.
#[derive(Debug, Object)]
#[oai(rename = "Problem", example)]
pub(super) struct ProblemBody {
    /// What kind of problem it is: a stable reference to compare with, `/problems/` and a name.
    #[oai(rename = "type")]
    kind: String,
    /// The kind of problem in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, and what to do about it.
    detail: String,
    /// The offending value: a JSON pointer into the body, or the name of a parameter or header.
    #[oai(skip_serializing_if_is_none)]
    field: Option<String>,
    /// The request's id, as in the answer's `X-Request-Id` header and the server's log.
    request_id: String,
}

impl Example for ProblemBody {
    fn example() -> Self {
        Problem::field("/url", "the URL must use https; use an https:// URL").body("req_01jd2x9vq3m7k8n5p4r6s0t1w2")
    }
}

impl Problem {
    /// A problem of a kind, in words.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let mut detail = without_secrets(&detail.into()).into_owned();
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL_CHARACTERS) {
            detail.truncate(end);
            detail.push('…');
        }
        Self { kind, detail, field: None, noted_as: None, retry_after: None }
    }

    /// A value of the body that can't be accepted; `field` is a JSON pointer.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Validation, detail).at(field)
    }

    /// No such thing; said in the same words whether it does not exist or belongs to another tenant.
    pub fn not_found(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self::new(ProblemKind::NotFound, format!("there is no {what} '{id}'"))
    }

    /// Names the offending value.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// Has it noted in the security events once it is answered.
    #[must_use]
    pub(crate) fn noting(self, kind: SecurityKind) -> Self {
        Self { noted_as: Some(kind), ..self }
    }

    /// What it is noted as in the security events, if it is.
    pub(crate) fn noted_as(&self) -> Option<SecurityKind> {
        self.noted_as
    }

    /// Says when it is worth trying again.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The offending value, if it is one.
    pub fn field_name(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Its kind.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The answer to the request with this id.
    pub(crate) fn into_answer(self, request_id: &str) -> Response {
        let body = poem_openapi::types::ToJSON::to_json_string(&self.body(request_id));
        let mut response = Response::builder()
            .status(self.kind.status())
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::CACHE_CONTROL, "no-store");
        if self.kind == ProblemKind::Unauthenticated {
            response = response.header(header::WWW_AUTHENTICATE, "Bearer");
        }
        if let Some(wait) = self.retry_after {
            response = response.header(header::RETRY_AFTER, whole_seconds(wait));
        }
        response.body(body).into_response()
    }

    fn body(&self, request_id: &str) -> ProblemBody {
        let (status, name, title) = self.kind.parts();
        ProblemBody {
            kind: format!("/problems/{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            field: self.field.clone(),
            request_id: request_id.to_owned(),
        }
    }

    /// What any error of a handler, an extractor or the router is to the caller.
    pub(crate) fn from_error(error: &poem::Error) -> Self {
        if let Some(problem) = error.downcast_ref::<Self>() {
            problem.clone()
        } else if let Some(error) = error.downcast_ref::<ParseParamError>() {
            Self::new(ProblemKind::BadRequest, error.to_string()).at(error.name)
        } else if let Some(error) = error.downcast_ref::<ParsePathError>() {
            Self::new(ProblemKind::BadRequest, error.to_string()).at(error.name)
        } else if error.is::<AuthorizationError>() {
            Self::new(ProblemKind::Unauthenticated, "send the header 'Authorization: Bearer <API key>'")
        } else if error.is::<NotFoundError>() {
            Self::new(ProblemKind::NotFound, "there is nothing at this path; /docs lists what there is")
        } else if error.is::<MethodNotAllowedError>() {
            Self::new(ProblemKind::MethodNotAllowed, "the path exists with other methods; see /docs")
        } else if let Some(error) = error.downcast_ref::<ContentTypeError>() {
            Self::new(
                ProblemKind::UnsupportedMediaType,
                format!("{error}; send the header 'Content-Type: application/json'"),
            )
        } else if error.is::<ParseRequestPayloadError>() || error.is::<ParseQueryError>() || error.is::<ReadBodyError>()
        {
            Self::new(ProblemKind::BadRequest, error.to_string())
        } else {
            Self::from_status(error)
        }
    }

    fn from_status(error: &poem::Error) -> Self {
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(ProblemKind::PayloadTooLarge, "the body is over the limit"),
            status if status.is_client_error() => Self::new(ProblemKind::BadRequest, error.to_string()),
            _ => Self::internal(error),
        }
    }

    /// Our own failure: told in the log, not to the caller.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "an API request failed");
        Self::new(ProblemKind::Internal, "an unexpected failure; the server's log has it under this request's id")
    }
}

/// Seconds as headers have them: never too few.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.kind.status()
    }
}

impl From<postrider_postgres::Error> for Problem {
    fn from(error: postrider_postgres::Error) -> Self {
        if is_unavailable(&error) {
            tracing::warn!(%error, "Postgres is not available to the API");
            Self::new(ProblemKind::Unavailable, "the database can't be reached for now; try again")
        } else if took_too_long(&error) {
            let detail = "this takes too long to find: ask for a shorter time, or by another filter too";
            Self::new(ProblemKind::Unavailable, detail)
        } else {
            Self::internal(&error)
        }
    }
}
