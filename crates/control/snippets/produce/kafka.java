// org.apache.kafka:kafka-clients. Run: KAFKA=broker:9092 java -cp 'lib/*' Publish.java
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class Publish {
    public static void main(String[] args) throws Exception {
        String tenant = System.getenv().getOrDefault("TENANT", "{{tenant}}");
        String topic = System.getenv().getOrDefault("TOPIC", "postrider.events");
        // The same id again leads to the same webhook-id.
        String event = """
            {"type": "order.created", "tenant": "%s", "id": "order-1042-created",
             "data": {"id": 1042, "total": 129.9}}""".formatted(tenant);
        Map<String, Object> config = Map.of(
            "bootstrap.servers", System.getenv().getOrDefault("KAFKA", "127.0.0.1:9092"),
            "acks", "all");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            // One key is one partition: order.
            producer.send(new ProducerRecord<>(topic, "order-1042", event)).get();
        }
    }
}
