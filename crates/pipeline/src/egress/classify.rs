//! From a client's error to an error class.

use std::{error::Error, io};

use hyper::http::Extensions;
use hyper_util::client::legacy;
use postrider_domain::ErrorClass;

use super::{ResolveError, connect::ConnectError, wire::WireLog};

/// The class of a failed request, and the failure in words (never with the URL's path).
pub(super) fn classify(error: &legacy::Error) -> (ErrorClass, String) {
    let causes = || std::iter::successors(error.source(), |&cause| cause.source());
    if let Some(connect) = causes().find_map(|cause| cause.downcast_ref::<ConnectError>()) {
        return (class_of_connect(connect), connect.to_string());
    }
    let class = causes().find_map(class_of_cause).unwrap_or(ErrorClass::InvalidResponse);
    let words = causes().last().map_or_else(|| error.to_string(), ToString::to_string);
    (class, words)
}

/// The connection that `error` came of, if that was given up by the host before it said anything to the request,
/// although it had answered others: as likely as not it was closed for its age while the request was on its way.
pub(super) fn silent_end(error: &legacy::Error) -> Option<WireLog> {
    let mut extensions = Extensions::new();
    error.connect_info()?.get_extras(&mut extensions);
    let log = extensions.remove::<WireLog>()?;
    (classify(error).0 == ErrorClass::Connect && log.ended_in_silence()).then_some(log)
}

fn class_of_connect(error: &ConnectError) -> ErrorClass {
    match error {
        ConnectError::Target => ErrorClass::Configuration,
        ConnectError::Resolve(ResolveError::Failed { .. }) => ErrorClass::Dns,
        ConnectError::Resolve(ResolveError::Refused { .. }) => ErrorClass::AddressRefused,
        ConnectError::Tcp(_) | ConnectError::Proxy(_) => ErrorClass::Connect,
        ConnectError::Tls(_) => ErrorClass::Tls,
        ConnectError::Timeout(_) => ErrorClass::Timeout,
    }
}

fn class_of_cause(cause: &(dyn Error + 'static)) -> Option<ErrorClass> {
    if let Some(http) = cause.downcast_ref::<hyper::Error>() {
        return class_of_http(http);
    }
    if let Some(http2) = cause.downcast_ref::<h2::Error>() {
        return (http2.is_go_away() && http2.is_remote()).then_some(ErrorClass::Connect);
    }
    let io = cause.downcast_ref::<io::Error>()?;
    // A server that wants a client certificate says so once the handshake is over. The HTTP/2 layer keeps only an
    // error's kind and words, but among those of a connection this kind is TLS's alone.
    Some(if io.kind() == io::ErrorKind::InvalidData { ErrorClass::Tls } else { ErrorClass::Connect })
}

/// None where the cause below says more.
fn class_of_http(error: &hyper::Error) -> Option<ErrorClass> {
    if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
        Some(ErrorClass::InvalidResponse)
    } else if error.is_incomplete_message() || (error.source().is_none() && (error.is_closed() || error.is_canceled()))
    {
        Some(ErrorClass::Connect)
    } else {
        None
    }
}
