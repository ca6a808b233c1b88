# pip install confluent-kafka. Run: KAFKA=broker:9092 python publish.py
import json
import os
import sys

from confluent_kafka import Producer

producer = Producer(
    {
        "bootstrap.servers": os.environ.get("KAFKA", "127.0.0.1:9092"),
        "enable.idempotence": True,
    }
)
event = {
    "type": "order.created",
    "tenant": os.environ.get("TENANT", "{{tenant}}"),
    "id": "order-1042-created",  # the same id again leads to the same webhook-id
    "data": {"id": 1042, "total": 129.9},
}
errors = []
producer.produce(
    os.environ.get("TOPIC", "postrider.events"),
    key="order-1042",  # one key is one partition: order
    value=json.dumps(event),
    on_delivery=lambda error, record: error and errors.append(error),
)
if producer.flush(30) or errors:
    sys.exit(f"not written: {errors}")
