import { createHmac, timingSafeEqual } from "node:crypto";
----
/** Whether `body` (its raw bytes) was signed with `secret` (whsec_…) in the last five minutes. */
function verify(secret, headers, body) {
  const timestamp = headers["x-webhook-timestamp"];
  const signatures = headers["x-webhook-signature"];
  if (!timestamp || !signatures) return false;
  if (!(Math.abs(Date.now() - Date.parse(timestamp)) <= 300_000)) return false;
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const expected = createHmac("sha256", key).update(`${timestamp}.`).update(body).digest();
  // Several signatures are there while the secret is being rotated: one is enough.
  return signatures.split(",").some((signature) => {
    const [version, code] = signature.split("=");
    const given = Buffer.from(code ?? "", "hex");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}
