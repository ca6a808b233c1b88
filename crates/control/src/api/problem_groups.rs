//! Which problems a group of operations may answer, as the document lists them.

use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use super::problem::{CONTENT_TYPE, Problem, ProblemBody, ProblemKind};

/// Defines an error type whose documentation lists the problems that a group of operations may answer.
macro_rules! documented_problems {
    ($(#[$doc:meta])* $name:ident: $($kind:ident => $description:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(Problem);

        impl ApiResponse for $name {
            fn meta() -> MetaResponses {
                MetaResponses { responses: vec![$(documented(ProblemKind::$kind, $description)),+] }
            }

            fn register(registry: &mut Registry) {
                ProblemBody::register(registry);
            }
        }

        impl From<Problem> for $name {
            fn from(problem: Problem) -> Self {
                Self(problem)
            }
        }

        impl From<postrider_postgres::Error> for $name {
            fn from(error: postrider_postgres::Error) -> Self {
                Self(error.into())
            }
        }

        impl From<$name> for poem::Error {
            fn from(problem: $name) -> Self {
                problem.0.into()
            }
        }
    };
}

documented_problems!(
    /// What an operation that reads may answer instead.
    ReadProblem:
    BadRequest => "A parameter can't be read.",
    Unauthenticated => "No API key, or one that is unknown, expired or revoked.",
    Forbidden => "The key lacks the scope, belongs to another or a suspended tenant, or may not be used from this address.",
    NotFound => "No such thing for this tenant.",
    RateLimited => "Too many requests of this key, or keys that don't work from this address; `Retry-After` says when to come again.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "The database can't be reached for now.",
);

documented_problems!(
    /// What an operation that is open to everybody may answer instead.
    OpenProblem:
    BadRequest => "A parameter can't be read.",
    NotFound => "No such thing.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "The database can't be reached for now.",
);

documented_problems!(
    /// What an operation with a body may answer instead.
    WriteProblem:
    BadRequest => "The body is not JSON, or a parameter can't be read.",
    Unauthenticated => "No API key, or one that is unknown, expired or revoked.",
    Forbidden => "The key lacks the scope, belongs to another or a suspended tenant, or may not be used from this address.",
    NotFound => "No such thing for this tenant.",
    Conflict => "Not possible as things are now: a request with the same `Idempotency-Key` is being worked on, or \
                 its answer is not kept.",
    PayloadTooLarge => "The body is over the limit.",
    UnsupportedMediaType => "The body is not `application/json`.",
    Validation => "A value can't be accepted; `field` names it.",
    RateLimited => "Too many requests of this key, or keys that don't work from this address; `Retry-After` says when to come again.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "The database, or for a publish Kafka, can't be reached for now.",
);

documented_problems!(
    /// What an operation with a body, on a version that `If-Match` may name, may answer instead.
    ChangeProblem:
    BadRequest => "The body is not JSON, or a parameter or `If-Match` can't be read.",
    Unauthenticated => "No API key, or one that is unknown, expired or revoked.",
    Forbidden => "The key lacks the scope, belongs to another or a suspended tenant, or may not be used from this address.",
    NotFound => "No such thing for this tenant.",
    Conflict => "It can't be done as things are; `detail` says what to do first.",
    PreconditionFailed => "It is at another version than `If-Match` names: read it again.",
    PayloadTooLarge => "The body is over the limit.",
    UnsupportedMediaType => "The body is not `application/json` or `application/merge-patch+json`.",
    Validation => "A value can't be accepted; `field` names it.",
    RateLimited => "Too many requests of this key, or keys that don't work from this address; `Retry-After` says when to come again.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "The database can't be reached for now.",
);

documented_problems!(
    /// What an operation without a body, on a version that `If-Match` may name, may answer instead.
    ActionProblem:
    BadRequest => "A parameter or `If-Match` can't be read.",
    Unauthenticated => "No API key, or one that is unknown, expired or revoked.",
    Forbidden => "The key lacks the scope, belongs to another or a suspended tenant, or may not be used from this address.",
    NotFound => "No such thing for this tenant.",
    Conflict => "It can't be done as things are; `detail` says what to do first.",
    PreconditionFailed => "It is at another version than `If-Match` names: read it again.",
    RateLimited => "Too many requests of this key, or keys that don't work from this address; `Retry-After` says when to come again.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "The database can't be reached for now.",
);

documented_problems!(
    /// What an operation that directs something under way may answer instead.
    DirectProblem:
    BadRequest => "A parameter can't be read.",
    Unauthenticated => "No API key, or one that is unknown, expired or revoked.",
    Forbidden => "The key lacks the scope, or belongs to another tenant.",
    NotFound => "No such thing for this tenant.",
    Conflict => "It has ended, so that nothing can be changed about it.",
    RateLimited => "Too many requests of this key, or keys that don't work from this address; `Retry-After` says when to come again.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "Kafka or the database can't be reached for now.",
);

documented_problems!(
    /// What an operation that reads a payload from Kafka may answer instead.
    PayloadProblem:
    BadRequest => "A parameter can't be read.",
    Unauthenticated => "No API key, or one that is unknown, expired or revoked.",
    Forbidden => "The key lacks the scope, or belongs to another tenant.",
    NotFound => "No such thing for this tenant.",
    PayloadGone => "Kafka does not keep it any more, or something else stands in its place now.",
    RateLimited => "Too many requests of this key, or keys that don't work from this address; `Retry-After` says when to come again.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "The database or Kafka can't be reached for now.",
);

documented_problems!(
    /// What an operation on a delivery that waits may answer instead.
    OrderProblem:
    BadRequest => "A parameter can't be read.",
    Unauthenticated => "No API key, or one that is unknown, expired or revoked.",
    Forbidden => "The key lacks the scope, or belongs to another tenant.",
    NotFound => "No such thing for this tenant.",
    Conflict => "The delivery is in no state in which this can be done; `detail` says what can.",
    PayloadGone => "Kafka does not keep the delivery any more.",
    RateLimited => "Too many requests of this key, or keys that don't work from this address; `Retry-After` says when to come again.",
    Internal => "Postrider failed; its log has the reason under the request's id.",
    Unavailable => "The database or Kafka can't be reached for now.",
);

fn documented(kind: ProblemKind, description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(kind.status().as_u16()),
        status_range: None,
        content: vec![MetaMediaType { content_type: CONTENT_TYPE, schema: ProblemBody::schema_ref() }],
        headers: vec![],
    }
}
