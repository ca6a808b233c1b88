"""A service that writes one order, and before it, if told so, a record of a schema that no registry has."""

import os

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC, TENANT, ORDER = os.environ["TOPIC"], os.environ["TENANT"], int(os.environ["ORDER"])
SCHEMA = '{"type": "record", "name": "com.acme.desk.OrderPlaced", "fields": [{"name": "id", "type": "long"}]}'

producer = Producer({"bootstrap.servers": os.environ["BOOTSTRAP_SERVERS"]})
serialize = AvroSerializer(SchemaRegistryClient({"url": os.environ["REGISTRY"]}), SCHEMA)
value = serialize({"id": ORDER}, SerializationContext(TOPIC, MessageField.VALUE))
if unknown := os.environ.get("UNKNOWN_SCHEMA"):
    value_of_no_schema = b"\0" + int(unknown).to_bytes(4, "big") + value[5:]
    producer.produce(TOPIC, key="order", value=value_of_no_schema, headers={"tenant": TENANT})
producer.produce(TOPIC, key="order", value=value, headers={"tenant": TENANT, "id": str(ORDER)})
assert producer.flush(30) == 0, "not all was acknowledged"
