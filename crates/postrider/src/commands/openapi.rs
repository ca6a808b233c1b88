//! `postrider openapi`: prints the API's description.

use super::server::print;

/// Prints the document, as `/openapi.json` serves it.
pub fn run() {
    print::line(postrider_control::api::openapi_document().trim_end());
}
