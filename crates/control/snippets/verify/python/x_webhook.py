import base64
import hashlib
import hmac
from datetime import datetime, timezone
----
def verify(secret, headers, body):
    """Whether `body` (its raw bytes) was signed with `secret` (whsec_…) in the last five minutes."""
    timestamp = headers.get("x-webhook-timestamp", "")
    try:
        age = datetime.now(timezone.utc) - datetime.fromisoformat(timestamp)
    except (ValueError, TypeError):
        return False
    if abs(age.total_seconds()) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    # Several signatures are there while the secret is being rotated: one is enough.
    signatures = headers.get("x-webhook-signature", "").split(",")
    return any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in signatures)
