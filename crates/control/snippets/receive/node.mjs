// npm: nothing to install. Run: WEBHOOK_SECRET=whsec_… node receiver.mjs
import { createServer } from "node:http";
{{imports}}

const secret = process.env.WEBHOOK_SECRET;

{{verify}}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!verify(secret, request.headers, body)) {
    response.writeHead(401).end();
    return;
  }
  // The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
  console.log(request.headers["webhook-id"], body.toString());
  response.writeHead(204).end();
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
