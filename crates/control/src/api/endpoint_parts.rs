//! All that there is of endpoints, as one part of the API.

use super::{
    endpoint_actions::EndpointActions, endpoint_health::EndpointHealth, endpoint_verification::EndpointVerification,
    endpoints::Endpoints, public_keys::PublicKeys, secrets::Secrets, snippets::Snippets,
};

/// The operations on endpoints.
pub(crate) type EndpointParts =
    (Endpoints, EndpointActions, EndpointVerification, EndpointHealth, Secrets, PublicKeys, Snippets);

/// Their implementation.
pub(crate) const ENDPOINT_PARTS: EndpointParts =
    (Endpoints, EndpointActions, EndpointVerification, EndpointHealth, Secrets, PublicKeys, Snippets);
