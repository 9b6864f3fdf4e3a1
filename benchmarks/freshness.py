"""From the 202 of an event to a changed recommendation: p50 and p99 over 1,000 events.

For a random customer the client reads the slate, puts one of its products into the basket, and from
the moment of the 202 reads until that product is gone. Also timed: the event's own way to its 202
(one confirmation of the disk).

    python benchmarks/freshness.py [--events 1000] [--no-model]
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import time

from _shop import Served, customer_ids, options, prepare

TARGET_MS = 25.0


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=1000)
    arguments = parser.parse_args()
    config = prepare(arguments.data, model=not arguments.no_model)
    ids = customer_ids(config.parent / "data")
    served = Served(config)
    try:
        served.wait()
        while served.metric("retaild_personal_seconds") < 0:
            time.sleep(0.2)
        fresh, accepted, reads = measure(served, ids, arguments.events)
    finally:
        served.stop()
    report = {
        "events": arguments.events,
        "fresh_p50_ms": round(quantile(fresh, 0.5), 3),
        "fresh_p99_ms": round(quantile(fresh, 0.99), 3),
        "fresh_max_ms": round(max(fresh), 3),
        "changed_at_first_read": sum(count == 1 for count in reads),
        "accept_p50_ms": round(quantile(accepted, 0.5), 3),
        "accept_p99_ms": round(quantile(accepted, 0.99), 3),
        "target_p99_ms": TARGET_MS,
        "ratio": round(quantile(fresh, 0.99) / TARGET_MS, 3),
    }
    print(f"  202 to changed: p50 {report['fresh_p50_ms']} ms, p99 {report['fresh_p99_ms']} ms; "
          f"event to 202: p50 {report['accept_p50_ms']} ms")  # fmt: skip
    print(json.dumps(report))


def measure(
    served: Served, ids: list[str], events: int
) -> tuple[list[float], list[float], list[int]]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    chance = random.Random(7)
    fresh, accepted, reads = [], [], []
    for _ in range(events):
        customer = chance.choice(ids)
        offered = slate(connection, customer)
        taken = chance.choice(offered)
        event = {
            "family": "activity", "action": "basket_add", "customer_id": customer,
            "product_id": taken,
        }  # fmt: skip
        began = time.perf_counter()
        connection.request("POST", "/api/v1/events", json.dumps(event))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202
        confirmed = time.perf_counter()
        count = 1
        while taken in slate(connection, customer):
            count += 1
        fresh.append((time.perf_counter() - confirmed) * 1000)
        accepted.append((confirmed - began) * 1000)
        reads.append(count)
    return fresh, accepted, reads


def slate(connection: http.client.HTTPConnection, customer: str) -> list[str]:
    connection.request("GET", f"/api/v1/customers/{customer}/recommendations")
    body = json.loads(connection.getresponse().read())
    return [offer["product_id"] for offer in body["recommendations"]]


def quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[int(share * 1000) - 1]


if __name__ == "__main__":
    main()
