	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
----
// verify tells whether body was signed with secret (whsec_…) in the last five minutes.
func verify(secret string, headers http.Header, body []byte) bool {
	timestamp := headers.Get("x-webhook-timestamp")
	at, err := time.Parse(time.RFC3339, timestamp)
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	expected := "v1=" + hex.EncodeToString(mac.Sum(nil))
	// Several signatures are there while the secret is being rotated: one is enough.
	for _, signature := range strings.Split(headers.Get("x-webhook-signature"), ",") {
		if hmac.Equal([]byte(signature), []byte(expected)) {
			return true
		}
	}
	return false
}
