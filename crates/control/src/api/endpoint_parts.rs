//! All that there is of endpoints, as one part of the API.

use super::{endpoint_actions::EndpointActions, endpoints::Endpoints, snippets::Snippets};

/// The operations on endpoints.
pub(crate) type EndpointParts = (Endpoints, EndpointActions, Snippets);

/// Their implementation.
pub(crate) const ENDPOINT_PARTS: EndpointParts = (Endpoints, EndpointActions, Snippets);
