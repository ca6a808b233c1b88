# Nothing to install. Run: WEBHOOK_SECRET=whsec_… python3 receiver.py
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
{{imports}}

SECRET = os.environ["WEBHOOK_SECRET"]


{{verify}}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        verified = verify(SECRET, self.headers, body)
        if verified:
            # The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
            print(self.headers["webhook-id"], body.decode(), flush=True)
        self.send_response(204 if verified else 401)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Receiver).serve_forever()
