"""Services that write events as Avro with a schema registry, each in its own way."""

import io
import json
import os
from datetime import date, datetime, time, timezone
from decimal import Decimal
from uuid import UUID

import fastavro
from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer
from confluent_kafka.schema_registry import (
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC, TENANT = os.environ["TOPIC"], os.environ["TENANT"]
producer = Producer({"bootstrap.servers": os.environ["BOOTSTRAP_SERVERS"]})
registry = SchemaRegistryClient({"url": os.environ["REGISTRY"]})
VALUE = SerializationContext(TOPIC, MessageField.VALUE)
PER_RECORD = {"subject.name.strategy": record_subject_name_strategy}


def produce(value: bytes, headers: dict) -> None:
    producer.produce(TOPIC, key="order-1", value=value, headers={"tenant": TENANT, **headers})


# An order, and the next version of its schema: a field more, one less, another order.
ORDER_V1 = """{"type": "record", "name": "OrderPlaced", "namespace": "com.acme.shop", "fields": [
  {"name": "id", "type": "long"},
  {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
  {"name": "note", "type": ["null", "string"], "default": null}]}"""
ORDER_V2 = """{"type": "record", "name": "OrderPlaced", "namespace": "com.acme.shop", "fields": [
  {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
  {"name": "currency", "type": "string", "default": "EUR"},
  {"name": "id", "type": "long"}]}"""
for schema, order in (
    (ORDER_V1, {"id": 1, "total": Decimal("12.30"), "note": None}),
    (ORDER_V2, {"id": 2, "total": Decimal("-0.05"), "currency": "CHF"}),
    (ORDER_V1, {"id": 3, "total": Decimal("9999999999.99"), "note": "old \"service\""}),
):
    produce(AvroSerializer(registry, schema)(order, VALUE), {"id": f"order-{order['id']}"})

# A shipment, whose address is a schema of its own in the registry, with a type of each kind.
ADDRESS = """{"type": "record", "name": "Address", "namespace": "com.acme.geo", "fields": [
  {"name": "city", "type": "string"}, {"name": "lines", "type": {"type": "array", "items": "string"}}]}"""
SHIPMENT = """{"type": "record", "name": "ShipmentSent", "namespace": "com.acme.shop", "fields": [
  {"name": "to", "type": "com.acme.geo.Address"},
  {"name": "return_to", "type": ["null", "com.acme.geo.Address"]},
  {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
  {"name": "sent", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "scanned", "type": {"type": "long", "logicalType": "timestamp-micros"}},
  {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
  {"name": "due", "type": {"type": "int", "logicalType": "date"}},
  {"name": "pickup", "type": {"type": "int", "logicalType": "time-millis"}},
  {"name": "carrier", "type": {"type": "enum", "name": "Carrier", "symbols": ["POST", "BIKE"]}},
  {"name": "weights", "type": {"type": "map", "values": "double"}},
  {"name": "fee", "type": {"type": "fixed", "name": "Fee", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4}},
  {"name": "label", "type": "bytes"},
  {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 4}},
  {"name": "either", "type": ["string", "long", "boolean"]},
  {"name": "parcels", "type": {"type": "array", "items":
    {"type": "record", "name": "Parcel", "fields": [
      {"name": "grams", "type": "int"}, {"name": "inside", "type": ["null", "Parcel"], "default": null}]}}}]}"""
registry.register_schema("com.acme.geo.Address", Schema(ADDRESS, "AVRO"))
reference = SchemaReference("com.acme.geo.Address", "com.acme.geo.Address", 1)
address = {"city": "Zürich", "lines": ["Gleis 3", "8001"]}
moment = datetime(2026, 1, 31, 12, 34, 56, 789012, tzinfo=timezone.utc)
shipment = {
    "to": address,
    "return_to": None,
    "id": UUID("0f8fad5b-d9cb-469f-a165-70867728950e"),
    "sent": moment,
    "scanned": moment,
    "local": moment.replace(tzinfo=None),
    "due": date(2026, 2, 2),
    "pickup": time(9, 5, 7, 250000),
    "carrier": "BIKE",
    "weights": {"gross": 1.5},
    "fee": Decimal("3.1000"),
    "label": b"\x00\xff",
    "digest": b"abcd",
    "either": 9007199254740993,
    "parcels": [{"grams": 700, "inside": {"grams": 200, "inside": None}}],
}
serialize = AvroSerializer(registry, Schema(SHIPMENT, "AVRO", [reference]), conf=PER_RECORD)
produce(serialize(shipment, VALUE), {"id": "shipment-1"})

# A CloudEvent in binary mode whose data is Avro.
INVOICE = '{"type": "record", "name": "com.acme.shop.Invoice", "fields": [{"name": "number", "type": "string"}]}'


class AvroData(JSONFormat):
    """Writes the data of CloudEvents with the registry's serializer."""

    def write_data(self, data, datacontenttype):
        return AvroSerializer(registry, INVOICE, conf=PER_RECORD)(data, VALUE)


attributes = {
    "specversion": "1.0",
    "id": "invoice-1",
    "source": "https://shop.example/invoices",
    "type": "invoice.sent",
    "datacontenttype": "application/avro",
    "tenant": TENANT,
}
message = to_binary(CloudEvent(dict(attributes), {"number": "R-17"}), AvroData())
producer.produce(TOPIC, key="invoice", value=message.value, headers=list(message.headers.items()))

# The whole CloudEvent in the Avro format.
with open(os.environ["CLOUD_EVENT_SCHEMA"]) as file:
    cloud_event = fastavro.parse_schema(json.load(file))
attributes = {**attributes, "id": "invoice-2", "datacontenttype": "application/json"}
for number, data in (("2", b'{"number": "R-18"}'), ("3", {"number": "R-19"})):
    encoded = io.BytesIO()
    event = {"attribute": {**attributes, "id": f"invoice-{number}"}, "data": data}
    fastavro.schemaless_writer(encoded, cloud_event, event)
    headers = {"content-type": "application/cloudevents+avro"}
    producer.produce(TOPIC, key="invoice", value=encoded.getvalue(), headers=headers)

# A single object, with a schema that the registry has under a subject.
PAYMENT = """{"type": "record", "name": "PaymentReceived", "namespace": "com.acme.shop", "doc": "not in the fingerprint",
  "fields": [{"name": "cents", "type": "long"}]}"""
registry.register_schema("payments", Schema(PAYMENT, "AVRO"))
payment = fastavro.parse_schema(json.loads(PAYMENT))
canonical = fastavro.schema.to_parsing_canonical_form(payment)
fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
encoded = io.BytesIO()
fastavro.schemaless_writer(encoded, payment, {"cents": 1230})
produce(b"\xc3\x01" + fingerprint + encoded.getvalue(), {"id": "payment-1"})

assert producer.flush(30) == 0, "not all was acknowledged"
