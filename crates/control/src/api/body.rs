//! Request bodies: JSON read straight into its type, with errors that name the offending field.

use poem::{Request, RequestBody, error::ReadBodyError};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{Json, ParsePayload, Payload},
    registry::{MetaSchemaRef, Registry},
    types::Type,
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::{
    problem::{Problem, ProblemKind},
    state::ApiConfig,
};

/// A JSON body. Unlike poem-openapi's own, it never goes through a tree of values, so raw JSON stays raw.
pub(crate) struct Body<T>(pub T);

impl<T: Type> Payload for Body<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        Json::<T>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + DeserializeOwned> ParsePayload for Body<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let max_bytes =
            request.data::<ApiConfig>().expect("the server adds its configuration to every request").max_body_bytes;
        let bytes = body.take()?.into_bytes_limit(max_bytes).await.map_err(|error| match error {
            ReadBodyError::PayloadTooLarge => {
                Problem::new(ProblemKind::PayloadTooLarge, format!("the body is over {max_bytes} bytes"))
            }
            other => Problem::new(ProblemKind::BadRequest, format!("the body can't be read: {other}")),
        })?;
        Ok(Self(parse(&bytes)?))
    }
}

impl_apirequest_for_payload!(Body<T>, T: Type + DeserializeOwned);

/// Reads a body.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // A derived type would also take a list of its fields' values.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::field("", "the body must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        match error.inner().classify() {
            Category::Data => Problem::field(pointer, unquoted(&error.inner().to_string())),
            _ => Problem::new(ProblemKind::BadRequest, format!("the body is not JSON: {}", error.inner())),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::new(ProblemKind::BadRequest, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// What serde says is wrong, without the text that it found in the place of something else: it can be a secret.
fn unquoted(message: &str) -> String {
    let quoted =
        message.split_once(": string \"").and_then(|(wrong, rest)| Some((wrong, rest.rsplit_once("\", expected")?)));
    match quoted {
        Some((wrong, (_, expected))) => format!("{wrong}: a string, expected{expected}"),
        None => message.to_owned(),
    }
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&escaped(key)),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

/// A key as a part of a JSON pointer.
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Vec<Inner>,
        raw: Option<Box<RawValue>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "read for its type only")]
        number: u32,
    }

    fn problem(json: &str) -> (ProblemKind, Option<String>) {
        let problem = parse::<Outer>(json.as_bytes()).expect_err("refused");
        (problem.kind(), problem.field_name().map(ToOwned::to_owned))
    }

    #[test]
    fn the_offending_field_is_named() {
        let validation = |field: &str| (ProblemKind::Validation, Some(field.to_owned()));
        assert_eq!(problem(r#"{"inner": [{"number": 1}, {"number": "x"}]}"#), validation("/inner/1/number"));
        assert_eq!(problem(r#"{"inner": [], "extra": 1}"#), validation("/extra"));
        assert_eq!(problem(r#"{"inner": [{"number": -1}]}"#), validation("/inner/0/number"));
        assert_eq!(problem("{}"), validation(""));
        assert_eq!(problem("[]"), validation(""));
    }

    #[test]
    fn a_text_in_the_wrong_place_is_not_quoted() {
        for (json, said) in [
            (r#"{"inner": "Bearer a\", expected b"}"#, "invalid type: a string, expected a sequence at line 1 "),
            (r#"{"inner": 7}"#, "invalid type: integer `7`, expected a sequence at line 1 "),
        ] {
            let problem = parse::<Outer>(json.as_bytes()).expect_err("refused").to_string();
            assert!(problem.starts_with(said), "{problem}");
        }
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for bad in ["", "{", "nonsense", r#"{"inner": []} x"#, "\u{0}"] {
            assert_eq!(problem(bad).0, ProblemKind::BadRequest, "{bad:?}");
        }
        assert_eq!(
            parse::<Outer>(b"{\"inner\": [], \"raw\": \xff}").expect_err("refused").kind(),
            ProblemKind::BadRequest
        );
    }

    #[test]
    fn raw_json_is_kept_to_the_byte() {
        let outer: Outer = parse(br#"{"raw": {"b":1.10, "a": 12345678901234567890123,  "b":2}, "inner":[]}"#).unwrap();
        assert_eq!(outer.raw.unwrap().get(), r#"{"b":1.10, "a": 12345678901234567890123,  "b":2}"#);
        assert!(outer.inner.is_empty());
    }
}
