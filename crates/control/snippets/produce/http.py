# Nothing to install. Run: POSTRIDER_API_KEY=pr_… python publish.py
import json
import os
import urllib.request

API = os.environ.get("POSTRIDER_URL", "{{api}}")

event = {
    "type": "order.created",
    "id": "order-1042-created",  # the same id again leads to the same webhook-id
    "subject": "order-1042",
    "data": {"id": 1042, "total": 129.9},
}
request = urllib.request.Request(
    f"{API}/v1/events",
    data=json.dumps(event).encode(),
    headers={"authorization": f"Bearer {os.environ['POSTRIDER_API_KEY']}", "content-type": "application/json"},
)
# 202: Kafka has it. After a 503 or no answer at all, send the same event again.
with urllib.request.urlopen(request, timeout=30) as response:
    print(response.read().decode())
