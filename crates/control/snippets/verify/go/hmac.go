	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
----
// verify tells whether body was signed with secret (whsec_…). The age of a request is not signed.
func verify(secret string, headers http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	expected := hex.EncodeToString(mac.Sum(nil))
	if "{{encoding}}" == "base64" {
		expected = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return hmac.Equal([]byte(headers.Get("{{header}}")), []byte(expected))
}
