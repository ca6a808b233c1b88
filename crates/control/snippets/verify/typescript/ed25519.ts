import { createPublicKey, verify as isSigned } from "node:crypto";
----
/** Whether `body` (its raw bytes) was signed with the key whose public half is `key` (whpk_…) in the last five minutes. */
function verify(key: string, headers: Record<string, string | undefined>, body: Uint8Array): boolean {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (!id || !timestamp || !signatures) return false;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false;
  const x = Buffer.from(key.replace("whpk_", ""), "base64").toString("base64url");
  const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  // Several signatures are there while the key is being rotated: one is enough.
  return signatures.split(" ").some((signature) => {
    const [version, code] = signature.split(",");
    return version === "v1a" && isSigned(null, signed, publicKey, Buffer.from(code ?? "", "base64"));
  });
}
