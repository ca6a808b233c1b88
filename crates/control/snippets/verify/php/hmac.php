/** Whether $body (its raw bytes) was signed with $secret (whsec_…). The age of a request is not signed. */
function verify(string $secret, array $headers, string $body): bool
{
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $code = hash_hmac('sha256', $body, $key, true);
    $expected = '{{encoding}}' === 'hex' ? bin2hex($code) : base64_encode($code);
    return hash_equals($expected, $headers['{{header}}'] ?? '');
}
