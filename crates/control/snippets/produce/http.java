// Java 17 or newer, nothing to install. Run: POSTRIDER_API_KEY=pr_… java Publish.java
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

public class Publish {
    // The same id again leads to the same webhook-id.
    static final String EVENT = """
        {"type": "order.created", "id": "order-1042-created", "subject": "order-1042",
         "data": {"id": 1042, "total": 129.9}}""";

    public static void main(String[] args) throws Exception {
        String api = System.getenv().getOrDefault("POSTRIDER_URL", "{{api}}");
        HttpRequest request = HttpRequest.newBuilder(URI.create(api + "/v1/events"))
            .timeout(Duration.ofSeconds(30))
            .header("Authorization", "Bearer " + System.getenv("POSTRIDER_API_KEY"))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(EVENT))
            .build();
        HttpResponse<String> response =
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        // 202: Kafka has it. After a 503 or no answer at all, send the same event again.
        if (response.statusCode() != 202) {
            throw new IllegalStateException(response.statusCode() + ": " + response.body());
        }
        System.out.println(response.body());
    }
}
