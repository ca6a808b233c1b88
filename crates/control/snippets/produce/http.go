// Nothing to install. Run: POSTRIDER_API_KEY=pr_… go run publish.go
package main

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

// The same id again leads to the same webhook-id.
const event = `{"type": "order.created", "id": "order-1042-created", "subject": "order-1042", "data": {"id": 1042, "total": 129.9}}`

func main() {
	api := cmp.Or(os.Getenv("POSTRIDER_URL"), "{{api}}")
	request, err := http.NewRequest(http.MethodPost, api+"/v1/events", strings.NewReader(event))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("POSTRIDER_API_KEY"))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err) // send the same event again
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	// 202: Kafka has it. After a 503, send the same event again.
	if response.StatusCode != http.StatusAccepted {
		log.Fatalf("%s: %s", response.Status, answer)
	}
	fmt.Println(string(answer))
}
