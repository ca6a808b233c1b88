// npm install --save-dev typescript @types/node. Run: npx tsc && WEBHOOK_SECRET=whsec_… node receiver.js
import { createServer, type IncomingMessage } from "node:http";
{{imports}}

const secret = process.env.WEBHOOK_SECRET ?? "";

/** What an envelope holds; `T` is your own type of the event's data. */
interface Envelope<T> {
  type: string;
  timestamp: string;
  data: T;
}

{{verify}}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const server = createServer(async (request, response) => {
  const body = await read(request);
  if (!verify(secret, request.headers as Record<string, string | undefined>, body)) {
    response.writeHead(401).end();
    return;
  }
  const event = JSON.parse(body.toString()) as Envelope<unknown>;
  // The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
  console.log(request.headers["webhook-id"], event.type);
  response.writeHead(204).end();
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
