# pip install flask. Run: WEBHOOK_SECRET=whsec_… python receiver.py
import os
{{imports}}

from flask import Flask, request

SECRET = os.environ["WEBHOOK_SECRET"]


{{verify}}


app = Flask(__name__)


@app.post("/webhooks")
def receive():
    body = request.get_data()
    if not verify(SECRET, request.headers, body):
        return "", 401
    # The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
    print(request.headers["webhook-id"], body.decode(), flush=True)
    return "", 204


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "9000")))
