<?php
// PHP 8, nothing to install. Run: WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:9000 receiver.php
declare(strict_types=1);

{{verify}}

$headers = array_change_key_case(getallheaders(), CASE_LOWER);
$body = file_get_contents('php://input');
if (!verify(getenv('WEBHOOK_SECRET'), $headers, $body)) {
    http_response_code(401);
    exit;
}
// The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
error_log($headers['webhook-id'] . ' ' . $body);
http_response_code(204);
