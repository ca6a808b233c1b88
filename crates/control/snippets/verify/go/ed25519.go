	"crypto/ed25519"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
----
// verify tells whether body was signed with the key whose public half is key (whpk_…) in the last five minutes.
func verify(key string, headers http.Header, body []byte) bool {
	id, timestamp := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || math.Abs(float64(time.Now().Unix()-seconds)) > 300 {
		return false
	}
	public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whpk_"))
	if err != nil || len(public) != ed25519.PublicKeySize {
		return false
	}
	signed := append([]byte(id+"."+timestamp+"."), body...)
	// Several signatures are there while the key is being rotated: one is enough.
	for _, signature := range strings.Split(headers.Get("webhook-signature"), " ") {
		code, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1a,"))
		if err == nil && ed25519.Verify(public, signed, code) {
			return true
		}
	}
	return false
}
