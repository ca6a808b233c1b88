//! Standard Webhooks 1.0.0 signatures (`v1`, HMAC-SHA256).
