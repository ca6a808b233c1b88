/** Whether $body (its raw bytes) was signed with the key whose public half is $key (whpk_…) in the last five minutes. */
function verify(string $key, array $headers, string $body): bool
{
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > 300) {
        return false;
    }
    $public = base64_decode(preg_replace('/^whpk_/', '', $key));
    // Several signatures are there while the key is being rotated: one is enough.
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $signature) {
        $code = base64_decode(preg_replace('/^v1a,/', '', $signature));
        if (strlen($code) === 64 && sodium_crypto_sign_verify_detached($code, "$id.$timestamp.$body", $public)) {
            return true;
        }
    }
    return false;
}
