import { createHmac, timingSafeEqual } from "node:crypto";
----
/** Whether `body` (its raw bytes) was signed with `secret` (whsec_…). The age of a request is not signed. */
function verify(secret: string, headers: Record<string, string | undefined>, body: Uint8Array): boolean {
  const signature = headers["{{header}}"];
  if (!signature) return false;
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const expected = createHmac("sha256", key).update(body).digest();
  const given = Buffer.from(signature, "{{encoding}}");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
