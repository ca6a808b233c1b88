// npm install kafkajs. Run: KAFKA=broker:9092 node publish.mjs
import { Kafka } from "kafkajs";

const kafka = new Kafka({ clientId: "shop", brokers: (process.env.KAFKA ?? "127.0.0.1:9092").split(",") });
const producer = kafka.producer({ idempotent: true });

const event = {
  type: "order.created",
  tenant: process.env.TENANT ?? "{{tenant}}",
  id: "order-1042-created", // the same id again leads to the same webhook-id
  data: { id: 1042, total: 129.9 },
};

await producer.connect();
await producer.send({
  topic: process.env.TOPIC ?? "postrider.events",
  acks: -1,
  messages: [{ key: "order-1042", value: JSON.stringify(event) }], // one key is one partition: order
});
await producer.disconnect();
