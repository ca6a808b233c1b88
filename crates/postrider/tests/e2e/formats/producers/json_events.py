"""A service that writes events as JSON: plain, and as CloudEvents in every mode."""

import json
import os
from datetime import datetime, timezone

from cloudevents.core.bindings.kafka import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer

TOPIC, TENANT = os.environ["TOPIC"], os.environ["TENANT"]
producer = Producer({"bootstrap.servers": os.environ["BOOTSTRAP_SERVERS"]})


def cloud_event(number: int, shape: str) -> CloudEvent:
    attributes = {
        "specversion": "1.0",
        "id": f"ce-{number}",
        "source": "https://shop.example/orders",
        "type": "order.placed",
        "subject": f"order-{number}",
        "time": datetime(2026, 1, 31, 12, 0, number, tzinfo=timezone.utc),
        "datacontenttype": "application/json",
        "partitionkey": "customer-7",
        "tenant": TENANT,
    }
    return CloudEvent(attributes, {"shape": shape, "number": number, "name": "Zoë"})


def produce(message) -> None:
    producer.produce(TOPIC, key=message.key, value=message.value, headers=list(message.headers.items()))


plain = {"type": "order.placed", "id": "p-1", "tenant": TENANT, "data": {"shape": "plain", "number": 0, "name": "Zoë"}}
producer.produce(TOPIC, key="order-0", value=json.dumps(plain))

produce(to_binary(cloud_event(1, "binary"), JSONFormat()))
produce(to_structured(cloud_event(2, "structured"), JSONFormat()))

batch = b"[" + b",".join(JSONFormat().write(cloud_event(number, "batch")) for number in (3, 4, 5)) + b"]"
producer.produce(TOPIC, key="batch", value=batch, headers={"content-type": "application/cloudevents-batch+json"})

# The row of a compacted topic is gone: a tombstone. And a record that is merely empty.
producer.produce(TOPIC, key="order-0", value=None)
producer.produce(TOPIC, key="order-1", value=b"")

assert producer.flush(30) == 0, "not all was acknowledged"
