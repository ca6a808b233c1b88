//! Endpoint templates: what a platform wants of a request, with parameters for what differs from account to account.
//!
//! A parameter is written `{{name}}` in the URL, in the values of headers and in what `auth` says, and as the
//! expression `{"$parameter": "name"}` in the mapping. Its value is put in so that it can't become anything else:
//!
//! | where | the value is | a secret one is |
//! |---|---|---|
//! | the whole URL | the URL | shown as its origin |
//! | host | a name or address, with a port if it has one | refused: hosts are not kept secret |
//! | path, query | percent-escaped, all but RFC 3986's unreserved characters | hidden |
//! | header, bearer token | as it is, if a header takes it | hidden |
//! | user name and password | as it is, the two in base64 | hidden |
//! | mapping | text | refused: mappings are not kept secret |
//!
//! What an endpoint keeps of a template that was instantiated is its URL and its headers, which are sealed, and a
//! subscription's mapping and event types, which are not. Changing a template changes no endpoint.

mod bind;
mod built_in;
mod check;
mod document;
mod instantiate;
mod request;
mod text;
mod url_text;
mod values;

#[cfg(test)]
mod tests;

pub use built_in::{BuiltIn, built_in, built_ins};
pub use check::{InvalidTemplate, MAX_PARAMETERS, MAX_TEMPLATE_BYTES, Template};
pub use document::{Auth, Document, Parameter, Sample, SampleEvent, SampleRequest};
pub use instantiate::Instance;
pub use request::RenderedRequest;
pub use values::{Concealed, HIDDEN, MAX_PARAMETER_BYTES, TemplateError};
