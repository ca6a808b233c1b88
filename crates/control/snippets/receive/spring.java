// Spring Boot 3 with spring-boot-starter-web, Java 17 or newer. Run with WEBHOOK_SECRET=whsec_…
package com.example.webhooks;

{{imports}}
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.HttpHeaders;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Receiver {
    private final String secret;

    Receiver(@Value("${WEBHOOK_SECRET}") String secret) {
        this.secret = secret;
    }

    @PostMapping("/webhooks")
    ResponseEntity<Void> receive(@RequestHeader HttpHeaders headers, @RequestBody byte[] body)
            throws GeneralSecurityException {
        if (!verify(secret, headers, body)) {
            return ResponseEntity.status(401).build();
        }
        // The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
        System.out.println(headers.getFirst("webhook-id") + " " + new String(body, StandardCharsets.UTF_8));
        return ResponseEntity.noContent().build();
    }

{{verify}}

    public static void main(String[] args) {
        SpringApplication.run(Receiver.class, args);
    }
}
