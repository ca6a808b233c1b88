import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
----
    /** Whether body was signed with secret (whsec_…) in the last five minutes. */
    static boolean verify(String secret, HttpHeaders headers, byte[] body) throws GeneralSecurityException {
        String timestamp = headers.getFirst("x-webhook-timestamp");
        String signatures = headers.getFirst("x-webhook-signature");
        if (timestamp == null || signatures == null) {
            return false;
        }
        try {
            if (Duration.between(Instant.parse(timestamp), Instant.now()).abs().toSeconds() > 300) {
                return false;
            }
        } catch (DateTimeParseException exception) {
            return false;
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(Base64.getDecoder().decode(secret.replaceFirst("^whsec_", "")), "HmacSHA256"));
        mac.update((timestamp + ".").getBytes(StandardCharsets.UTF_8));
        byte[] expected = ("v1=" + HexFormat.of().formatHex(mac.doFinal(body))).getBytes(StandardCharsets.UTF_8);
        // Several signatures are there while the secret is being rotated: one is enough.
        for (String signature : signatures.split(",")) {
            if (MessageDigest.isEqual(expected, signature.getBytes(StandardCharsets.UTF_8))) {
                return true;
            }
        }
        return false;
    }
