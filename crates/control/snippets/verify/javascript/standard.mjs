import { createHmac, timingSafeEqual } from "node:crypto";
----
/** Whether `body` (its raw bytes) was signed with `secret` (whsec_…) in the last five minutes. */
function verify(secret, headers, body) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (!id || !timestamp || !signatures) return false;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false;
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // Several signatures are there while the secret is being rotated: one is enough.
  return signatures.split(" ").some((signature) => {
    const [version, code] = signature.split(",");
    const given = Buffer.from(code ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}
