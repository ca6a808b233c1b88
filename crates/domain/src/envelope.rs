//! The body that is sent: the Standard Webhooks `{type, timestamp, data}` envelope around the untouched data.
