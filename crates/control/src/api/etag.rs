//! Versions in HTTP: an answer's `ETag` is its entity's version, and a change with `If-Match` is made only if the
//! entity is still at that version (RFC 9110, 13.1.1).

use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    payload::{Json, Payload},
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{ToJSON, Type},
};

use super::problem::{Problem, ProblemKind};
use crate::manage::Precondition;

/// The most versions that one `If-Match` names.
const MAX_VERSIONS: usize = 20;

macro_rules! versioned_answer {
    ($(#[$doc:meta])* $name:ident, $status:ident, $description:literal) => {
        $(#[$doc])*
        pub(crate) struct $name<T> {
            /// What is answered.
            pub body: T,
            /// The entity's version.
            pub version: i64,
        }

        impl<T: ToJSON> IntoResponse for $name<T> {
            fn into_response(self) -> Response {
                let tag = HeaderValue::try_from(etag(self.version)).expect("digits and quotes are a header's value");
                Json(self.body).with_status(StatusCode::$status).with_header(header::ETAG, tag).into_response()
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
                        headers: vec![etag_header()],
                    }],
                }
            }

            fn register(registry: &mut Registry) {
                <T as Type>::register(registry);
            }
        }
    };
}

versioned_answer!(
    /// 200 with what was asked for, and its version.
    Versioned, OK, "What was asked for."
);
versioned_answer!(
    /// 201 with what was made, and its version.
    CreatedVersion, CREATED, "Made; this is what it is."
);

fn etag_header() -> MetaHeader {
    MetaHeader {
        name: "ETag".to_owned(),
        description: Some(
            "The version of what was asked for: to be sent as `If-Match` with a change of it.".to_owned(),
        ),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    }
}

/// The tag of a version.
pub(crate) fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Reads `If-Match`: a list of tags, or `*` for whichever version there is. Without it every version will do. A tag
/// that is none of ours, and a weak one, match no version.
pub(crate) fn if_match(header: Option<&str>) -> Result<Precondition, Problem> {
    let Some(text) = header.map(str::trim) else { return Ok(Precondition::AnyVersion) };
    if text == "*" {
        return Ok(Precondition::AnyVersion);
    }
    let tags: Vec<&str> = text.split(',').map(str::trim).collect();
    let well_formed = |tag: &&str| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
    };
    if tags.len() > MAX_VERSIONS || !tags.iter().all(well_formed) {
        let detail = format!("is '*', or the ETag of an answer with its quotes; at most {MAX_VERSIONS} of them");
        return Err(Problem::new(ProblemKind::BadRequest, detail).at("If-Match"));
    }
    let version = |tag: &&str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    Ok(Precondition::OneOf(tags.iter().filter_map(version).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_as_its_version() {
        let one_of = |versions: &[i64]| Ok(Precondition::OneOf(versions.to_vec()));
        assert_eq!(if_match(Some(&etag(7))), one_of(&[7]));
        assert_eq!(if_match(Some(r#" "7" , "8","x", W/"9" "#)), one_of(&[7, 8]));
        assert_eq!(if_match(Some(r#""""#)), one_of(&[]), "none of ours: it matches nothing");
        assert_eq!(if_match(None), Ok(Precondition::AnyVersion));
        assert_eq!(if_match(Some("*")), Ok(Precondition::AnyVersion));
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for bad in ["", "7", "\"7", "\"7\",", "*, \"7\"", "W/7"] {
            let problem = if_match(Some(bad)).expect_err(bad);
            assert_eq!((problem.kind(), problem.field_name()), (ProblemKind::BadRequest, Some("If-Match")), "{bad}");
        }
        let many = vec![etag(1); MAX_VERSIONS + 1].join(",");
        assert!(if_match(Some(&many)).is_err());
    }
}
