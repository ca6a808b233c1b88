//! Compression of answers, for who asks for it.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use poem::{
    Body, IntoResponse as _, Response,
    http::{HeaderMap, HeaderValue, header},
    web::{Compress, CompressionAlgo, CompressionLevel},
};

/// What is smaller than this is sent as it is: its frame would be longer than what is saved.
const MIN_BYTES: usize = 1_024;

/// Whether a request's `Accept-Encoding` takes gzip.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight: f32 = weight.trim().strip_prefix("q=").and_then(|text| text.parse().ok()).unwrap_or(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && weight > 0.0
    })
}

/// Compresses an answer if that is worth it.
pub(super) async fn compressed(mut answer: Response) -> Response {
    if answer.headers().contains_key(header::CONTENT_ENCODING) || !is_text(&answer) {
        return answer;
    }
    let mut chunks = answer.take_body().into_bytes_stream();
    let mut begun = BytesMut::new();
    let mut failed = None;
    while begun.len() < MIN_BYTES {
        match chunks.next().await {
            Some(Ok(chunk)) => begun.extend_from_slice(&chunk),
            Some(Err(error)) => {
                failed = Some(error);
                break;
            }
            None => {
                answer.set_body(begun.freeze());
                return answer;
            }
        }
    }
    let begun: Vec<io::Result<Bytes>> = std::iter::once(Ok(begun.freeze())).chain(failed.map(Err)).collect();
    answer.set_body(Body::from_bytes_stream(stream::iter(begun).chain(chunks)));
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Compress::new(answer, CompressionAlgo::GZIP).with_quality(CompressionLevel::Fastest).into_response()
}

fn is_text(answer: &Response) -> bool {
    let kind = answer.content_type().unwrap_or_default();
    kind.starts_with("text/") || kind.starts_with("application/json") || kind.starts_with("application/problem+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
        is_accepted(&headers)
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        assert!(accepts("gzip") && accepts("br, GZip;q=0.5") && accepts("deflate,gzip"));
        assert!(!accepts("br") && !accepts("gzip;q=0") && !accepts("") && !accepts("*"));
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn only_long_text_is_compressed() {
        let long = "postrider ".repeat(1_000);
        for (kind, body, is_compressed) in [
            ("application/json; charset=utf-8", long.clone(), true),
            ("application/json; charset=utf-8", "{}".to_owned(), false),
            ("image/png", long.clone(), false),
        ] {
            let answer = compressed(Response::builder().content_type(kind).body(body.clone())).await;
            let encoding = answer.headers().get(header::CONTENT_ENCODING).cloned();
            assert_eq!(encoding.is_some_and(|it| it == "gzip"), is_compressed, "{kind}, {} bytes", body.len());
            let bytes = answer.into_body().into_bytes().await.unwrap();
            assert_eq!(bytes.len() < body.len() / 10, is_compressed);
            assert_eq!(bytes == body.as_bytes(), !is_compressed);
        }
    }
}
