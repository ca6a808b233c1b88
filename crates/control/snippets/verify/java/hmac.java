import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
----
    /** Whether body was signed with secret (whsec_…). The age of a request is not signed. */
    static boolean verify(String secret, HttpHeaders headers, byte[] body) throws GeneralSecurityException {
        String signature = headers.getFirst("{{header}}");
        if (signature == null) {
            return false;
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(Base64.getDecoder().decode(secret.replaceFirst("^whsec_", "")), "HmacSHA256"));
        byte[] code = mac.doFinal(body);
        String expected =
            "{{encoding}}".equals("hex") ? HexFormat.of().formatHex(code) : Base64.getEncoder().encodeToString(code);
        return MessageDigest.isEqual(
            expected.getBytes(StandardCharsets.UTF_8), signature.getBytes(StandardCharsets.UTF_8));
    }
