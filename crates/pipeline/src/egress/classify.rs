//! From a client's error to an error class.

use std::{error::Error, io};

use postrider_domain::ErrorClass;

use super::ResolveError;

/// The class of a failed request, and the failure in words (never with the URL's path).
pub(super) fn classify(error: reqwest::Error) -> (ErrorClass, String) {
    let error = error.without_url();
    let causes = || std::iter::successors(error.source(), |&cause| cause.source());
    let class = if error.is_timeout() {
        ErrorClass::Timeout
    } else {
        causes().find_map(class_of_cause).unwrap_or(if error.is_connect() {
            ErrorClass::Connect
        } else {
            ErrorClass::InvalidResponse
        })
    };
    let words = causes().last().map_or_else(|| error.to_string(), ToString::to_string);
    (class, words)
}

fn class_of_cause(cause: &(dyn Error + 'static)) -> Option<ErrorClass> {
    if let Some(resolve) = cause.downcast_ref::<ResolveError>() {
        return Some(match resolve {
            ResolveError::Failed { .. } => ErrorClass::Dns,
            ResolveError::Refused { .. } => ErrorClass::AddressRefused,
        });
    }
    if cause.is::<rustls::Error>() {
        return Some(ErrorClass::Tls);
    }
    if let Some(http) = cause.downcast_ref::<hyper::Error>() {
        return class_of_http(http);
    }
    // A TLS failure arrives wrapped in an I/O error.
    let io = cause.downcast_ref::<io::Error>()?;
    match io.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => Some(ErrorClass::Tls),
        Some(inner) => class_of_cause(inner),
        None => Some(ErrorClass::Connect),
    }
}

/// None where the cause below says more.
fn class_of_http(error: &hyper::Error) -> Option<ErrorClass> {
    if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
        Some(ErrorClass::InvalidResponse)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Some(ErrorClass::Connect)
    } else {
        None
    }
}
