// Nothing to install. Run: WEBHOOK_SECRET=whsec_… go run receiver.go
package main

import (
	"cmp"
	"io"
	"log"
	"net/http"
	"os"

{{imports}}
)

{{verify}}

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	http.HandleFunc("/webhooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
		if err != nil || !verify(secret, r.Header, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		// The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
		log.Println(r.Header.Get("webhook-id"), string(body))
		w.WriteHeader(http.StatusNoContent)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "9000"), nil))
}
