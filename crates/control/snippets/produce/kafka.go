// go get github.com/segmentio/kafka-go. Run: KAFKA=broker:9092 go run publish.go
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/segmentio/kafka-go"
)

func main() {
	writer := &kafka.Writer{
		Addr:         kafka.TCP(cmp.Or(os.Getenv("KAFKA"), "127.0.0.1:9092")),
		Topic:        cmp.Or(os.Getenv("TOPIC"), "postrider.events"),
		Balancer:     kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll,
		BatchSize:    1,
	}
	tenant := cmp.Or(os.Getenv("TENANT"), "{{tenant}}")
	// The same id again leads to the same webhook-id; one key is one partition: order.
	event := fmt.Sprintf(`{"type": "order.created", "tenant": %q, "id": "order-1042-created", "data": {"id": 1042, "total": 129.9}}`, tenant)
	message := kafka.Message{Key: []byte("order-1042"), Value: []byte(event)}
	if err := writer.WriteMessages(context.Background(), message); err != nil {
		log.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
}
