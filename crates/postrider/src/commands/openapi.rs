//! `postrider openapi`: prints the API's description.

/// Prints the document, as `/openapi.json` serves it.
pub fn run() {
    println!("{}", postrider_control::api::openapi_document().trim_end());
}
