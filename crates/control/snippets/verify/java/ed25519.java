import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.Base64;
import java.util.HexFormat;
----
    /** Whether body was signed with the key whose public half is key (whpk_…) in the last five minutes. */
    static boolean verify(String key, HttpHeaders headers, byte[] body) throws GeneralSecurityException {
        String id = headers.getFirst("webhook-id");
        String timestamp = headers.getFirst("webhook-timestamp");
        String signatures = headers.getFirst("webhook-signature");
        if (id == null || signatures == null || timestamp == null || !timestamp.matches("[0-9]{1,12}")) {
            return false;
        }
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > 300) {
            return false;
        }
        // Before the 32 bytes of the key stands what says that it is one (RFC 8410).
        String bytes = HexFormat.of().formatHex(Base64.getDecoder().decode(key.replaceFirst("^whpk_", "")));
        X509EncodedKeySpec encoded = new X509EncodedKeySpec(HexFormat.of().parseHex("302a300506032b6570032100" + bytes));
        PublicKey publicKey = KeyFactory.getInstance("Ed25519").generatePublic(encoded);
        // Several signatures are there while the key is being rotated: one is enough.
        for (String signature : signatures.split(" ")) {
            if (signature.matches("v1a,[A-Za-z0-9+/]{86}==")) {
                Signature signed = Signature.getInstance("Ed25519");
                signed.initVerify(publicKey);
                signed.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
                signed.update(body);
                if (signed.verify(Base64.getDecoder().decode(signature.substring("v1a,".length())))) {
                    return true;
                }
            }
        }
        return false;
    }
