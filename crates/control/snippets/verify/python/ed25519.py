import base64
import time

from cryptography.exceptions import InvalidSignature  # pip install cryptography
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
----
def verify(key, headers, body):
    """Whether `body` (its raw bytes) was signed with the key whose public half is `key` (whpk_…), these five minutes."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False
    public_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    signed = f"{message_id}.{timestamp}.".encode() + body
    # Several signatures are there while the key is being rotated: one is enough.
    for signature in headers.get("webhook-signature", "").split(" "):
        version, _, code = signature.partition(",")
        try:
            if version == "v1a":
                public_key.verify(base64.b64decode(code), signed)
                return True
        except (InvalidSignature, ValueError):
            pass
    return False
