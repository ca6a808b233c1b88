/** Whether $body (its raw bytes) was signed with $secret (whsec_…) in the last five minutes. */
function verify(string $secret, array $headers, string $body): bool
{
    $timestamp = $headers['x-webhook-timestamp'] ?? '';
    $at = strtotime($timestamp);
    if ($at === false || abs(time() - $at) > 300) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $expected = 'v1=' . hash_hmac('sha256', "$timestamp.$body", $key);
    // Several signatures are there while the secret is being rotated: one is enough.
    foreach (explode(',', $headers['x-webhook-signature'] ?? '') as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}
