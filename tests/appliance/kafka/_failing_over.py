"""Appends and reads without pause; on the word `end` it prints figures as JSON.

Arguments: root, servers, topic. Runs in a network namespace of its own.
"""

import json
import sys
import threading
import time
from pathlib import Path

from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig

from retaild.api import BuildContext, TransientError
from retaild.testing.bus import entry, read_all

root, servers, topic = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
config = KafkaBusConfig(
    bootstrap_servers=servers, topic=topic, replicas=3, sync=False, patience_seconds=2.0
)
context = BuildContext("bus", root / "log", root / "lake", services_dir=root / "service")
bus, reading = KafkaBus(config, context), KafkaBus(config, context)
bus.open()
reading.open()
ended = threading.Event()
accepted: list[str] = []
longest = {"append": 0.0, "read": 0.0}
#: Each once, however often the log has it.
read: set[bytes] = set()


def follow() -> None:
    offset, last = 0, time.monotonic()
    while not ended.is_set():
        try:
            found = reading.read(offset)
        except TransientError:
            found = []
        if found:
            offset = found[-1].offset + 1
            read.update(one.entry.payload for one in found)
            longest["read"] = max(longest["read"], time.monotonic() - last)
            last = time.monotonic()
        time.sleep(0.005)


def append() -> None:
    while not ended.is_set():
        text, began = f"{len(accepted)}", time.monotonic()
        bus.append([entry(text)])
        longest["append"] = max(longest["append"], time.monotonic() - began)
        accepted.append(text)
        if len(accepted) == 50:
            print("going", flush=True)
        time.sleep(0.01)


threads = [threading.Thread(target=work) for work in (follow, append)]
for thread in threads:
    thread.start()
for line in sys.stdin:
    if line.strip() == "figures":
        print(json.dumps({**longest, "behind": len(accepted) - len(read)}), flush=True)
    elif line.strip() == "anew":
        longest = {"append": 0.0, "read": 0.0}
    elif line.strip() == "end":
        break
ended.set()
for thread in threads:
    thread.join()
until = time.monotonic() + 60
while bus.end().offset < len(accepted) and time.monotonic() < until:
    time.sleep(0.1)
found = [e.entry for e in read_all(bus)]
wanted = [entry(text) for text in accepted]
report = {
    "accepted": len(accepted),
    "lost": len(set(wanted) - set(found)),
    "doubled": len(found) - len(set(found)),
    "in_order": list(dict.fromkeys(found)) == wanted,
}
print(json.dumps(report), flush=True)
bus.close()
reading.close()
