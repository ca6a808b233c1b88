// npm install express. Run: WEBHOOK_SECRET=whsec_… node receiver.mjs
import express from "express";
{{imports}}

const secret = process.env.WEBHOOK_SECRET;

{{verify}}

const app = express();
// The raw bytes are what was signed: don't let a JSON parser have them first.
app.post("/webhooks", express.raw({ type: () => true, limit: "2mb" }), (request, response) => {
  if (!verify(secret, request.headers, request.body)) {
    response.sendStatus(401);
    return;
  }
  // The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
  console.log(request.headers["webhook-id"], request.body.toString());
  response.sendStatus(204);
});
app.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
