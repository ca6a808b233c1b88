//! What the document lists under security, testing and verifying, as one part of all resources.

use super::{
    audit_log::AuditLog, ip_rules::IpRules, security_events::SecurityEvents, test_sends::TestSends,
    verify_signature::VerifySignature,
};

/// Each resource.
pub(crate) type SecurityParts = (TestSends, VerifySignature, AuditLog, SecurityEvents, IpRules);

/// Each resource's implementation.
pub(crate) const SECURITY_PARTS: SecurityParts = (TestSends, VerifySignature, AuditLog, SecurityEvents, IpRules);
