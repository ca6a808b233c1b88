// Next.js 13.4 or newer: app/webhooks/route.js, with WEBHOOK_SECRET=whsec_… in the environment.
{{imports}}

const secret = process.env.WEBHOOK_SECRET;

{{verify}}

export const runtime = "nodejs";

export async function POST(request) {
  const body = Buffer.from(await request.arrayBuffer());
  if (!verify(secret, Object.fromEntries(request.headers), body)) {
    return new Response(null, { status: 401 });
  }
  // The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
  console.log(request.headers.get("webhook-id"), body.toString());
  return new Response(null, { status: 204 });
}
