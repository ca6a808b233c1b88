import base64
import hashlib
import hmac
----
def verify(secret, headers, body):
    """Whether `body` (its raw bytes) was signed with `secret` (whsec_…). The age of a request is not signed."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    code = hmac.new(key, body, hashlib.sha256).digest()
    expected = code.hex() if "{{encoding}}" == "hex" else base64.b64encode(code).decode()
    return hmac.compare_digest(expected.encode(), headers.get("{{header}}", "").encode())
