//! All that there is of endpoints, as one part of the API.

use super::{endpoint_actions::EndpointActions, endpoints::Endpoints};

/// The operations on endpoints.
pub(crate) type EndpointParts = (Endpoints, EndpointActions);

/// Their implementation.
pub(crate) const ENDPOINT_PARTS: EndpointParts = (Endpoints, EndpointActions);
