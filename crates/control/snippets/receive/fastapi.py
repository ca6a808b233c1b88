# pip install fastapi uvicorn. Run: WEBHOOK_SECRET=whsec_… python receiver.py
import os
{{imports}}

import uvicorn
from fastapi import FastAPI, Request, Response

SECRET = os.environ["WEBHOOK_SECRET"]


{{verify}}


app = FastAPI()


@app.post("/webhooks")
async def receive(request: Request) -> Response:
    body = await request.body()
    if not verify(SECRET, request.headers, body):
        return Response(status_code=401)
    # The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
    print(request.headers["webhook-id"], body.decode(), flush=True)
    return Response(status_code=204)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "9000")))
