//! Successful answers, each with its status in the document.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    payload::{Json, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{ToJSON, Type},
};

macro_rules! json_answer {
    ($(#[$doc:meta])* $name:ident, $status:ident, $description:literal) => {
        $(#[$doc])*
        pub(crate) struct $name<T>(pub T);

        impl<T: ToJSON> IntoResponse for $name<T> {
            fn into_response(self) -> Response {
                Json(self.0).with_status(StatusCode::$status).into_response()
            }
        }

        impl<T: ToJSON> ApiResponse for $name<T> {
            fn meta() -> MetaResponses {
                MetaResponses {
                    responses: vec![MetaResponse {
                        description: $description,
                        status: Some(StatusCode::$status.as_u16()),
                        status_range: None,
                        content: vec![MetaMediaType { content_type: Json::<T>::CONTENT_TYPE, schema: T::schema_ref() }],
                        headers: vec![],
                    }],
                }
            }

            fn register(registry: &mut Registry) {
                <T as Type>::register(registry);
            }
        }
    };
}

json_answer!(
    /// 200 with what was asked for.
    Found, OK, "What was asked for."
);
json_answer!(
    /// 201 with what was made.
    Created, CREATED, "Made; this is what it is."
);
json_answer!(
    /// 202 with what was taken.
    Accepted, ACCEPTED, "Taken: it is durable, and its consequences follow."
);

/// 204: done, nothing to say.
pub(crate) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl ApiResponse for Done {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done.",
                status: Some(StatusCode::NO_CONTENT.as_u16()),
                status_range: None,
                content: vec![],
                headers: vec![],
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
