// Node 18 or newer, nothing to install. Run: POSTRIDER_API_KEY=pr_… node publish.mjs
const api = process.env.POSTRIDER_URL ?? "{{api}}";

const event = {
  type: "order.created",
  id: "order-1042-created", // the same id again leads to the same webhook-id
  subject: "order-1042",
  data: { id: 1042, total: 129.9 },
};

const response = await fetch(`${api}/v1/events`, {
  method: "POST",
  headers: {
    authorization: `Bearer ${process.env.POSTRIDER_API_KEY}`,
    "content-type": "application/json",
  },
  body: JSON.stringify(event),
});
const answer = await response.text();
// 202: Kafka has it. After a 503 or no answer at all, send the same event again.
if (response.status !== 202) throw new Error(`${response.status}: ${answer}`);
console.log(answer);
