"""Three brokers in network namespaces: the leader killed, then one cut off. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.cluster.kafka.service import LOG4J

from retaild.api.kafka import properties_text

NET = "10.98.7"
NODES = (1, 2, 3)
#: Where the client runs.
HERE = 4
TOPIC = "log"
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
_CHILD = Path(__file__).with_name("_failing_over.py")

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None,
        reason="needs root and iproute2 for network namespaces",
    ),
    pytest.mark.timeout(280),
]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Hosts:
    """Namespaces on a bridge in one more: nothing touches the machine's own network."""

    def __init__(self) -> None:
        self.prefix = f"rk{os.getpid() % 100_000}"

    def up(self) -> None:
        switch = self.name("sw")
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for number in (*NODES, HERE):
            name = self.name(number)
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", switch, "link", "add", f"p{number}", "type", "veth",
               "peer", "name", "eth0", "netns", name)  # fmt: skip
            ip("-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
            ip("-n", name, "addr", "add", f"{NET}.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")

    def name(self, what: object) -> str:
        return f"{self.prefix}-{what}"

    def inside(self, number: int) -> list[str]:
        return ["ip", "netns", "exec", self.name(number)]

    def cut(self, number: int) -> None:
        ip("-n", self.name("sw"), "link", "set", f"p{number}", "down")

    def heal(self, number: int) -> None:
        ip("-n", self.name("sw"), "link", "set", f"p{number}", "up")

    def down(self) -> None:
        for what in (*NODES, HERE, "sw"):
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", self.name(what))


class Nodes:
    """The brokers, each a controller too."""

    def __init__(self, hosts: Hosts, root: Path, software: Path) -> None:
        self.hosts, self.root = hosts, root
        self.jars = software / "kafka/current/jars"
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        folder = self.root / f"n{number}"
        folder.mkdir(exist_ok=True)
        properties = folder / "server.properties"
        (folder / "log4j2.yaml").write_text(LOG4J)
        properties.write_text(properties_text(self.settings(number, folder)))
        if not (folder / "data/meta.properties").exists():
            subprocess.run(
                [*self.java(96, folder), "kafka.tools.StorageTool", "format", "-t", CLUSTER,
                 "-c", str(properties)],
                check=True, capture_output=True,
            )  # fmt: skip
        with (folder / "log").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                [*self.hosts.inside(number), *self.java(224, folder), "kafka.Kafka",
                 str(properties)],
                stdout=log, stderr=log,
            )  # fmt: skip

    def java(self, heap: int, folder: Path) -> list[str]:
        log4j = (folder / "log4j2.yaml").as_uri()
        return ["java", f"-Xmx{heap}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={log4j}",
                "-cp", f"{self.jars}/*"]  # fmt: skip

    def settings(self, number: int, folder: Path) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": ",".join(f"{n}@{NET}.{n}:9093" for n in NODES),
            "listeners": f"BROKER://{NET}.{number}:9092,CONTROLLER://{NET}.{number}:9093",
            "advertised.listeners": f"BROKER://{NET}.{number}:9092",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT",
            "log.dirs": folder / "data",
            "offsets.topic.replication.factor": 3,
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": 6000,
            "broker.heartbeat.interval.ms": 1000,
            "controller.quorum.fetch.timeout.ms": 2000,
            "controller.quorum.election.timeout.ms": 1000,
            "replica.lag.time.max.ms": 6000,
            "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        }

    def kill(self, number: int) -> None:
        process = self.processes.pop(number)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for number in list(self.processes):
            self.kill(number)

    def leader(self, wanted: int = 1) -> int:
        """Who leads the log's partition; waits until `wanted` replicas are in step."""
        words = (
            "import json,sys,time; from confluent_kafka.admin import AdminClient\n"
            "a = AdminClient({'bootstrap.servers': sys.argv[1], 'log_level': 0,\n"
            "  'allow.auto.create.topics': False})\n"
            "for _ in range(200):\n"
            "    try: p = a.list_topics(sys.argv[2], timeout=2).topics[sys.argv[2]].partitions[0]\n"
            "    except Exception: time.sleep(.3); continue\n"
            "    if p.leader > 0 and len(p.isrs) >= int(sys.argv[3]): break\n"
            "    time.sleep(.3)\n"
            "print(p.leader)"
        )
        done = subprocess.run(
            [*self.hosts.inside(HERE), sys.executable, "-c", words, servers(), TOPIC, str(wanted)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return int(done.stdout)


def servers() -> str:
    return ",".join(f"{NET}.{number}:9092" for number in NODES)


@pytest.fixture
def nodes(tmp_path: Path, software: Path) -> Iterator[Nodes]:
    hosts = Hosts()
    nodes = Nodes(hosts, tmp_path, software)
    try:
        hosts.up()
        for number in NODES:
            nodes.start(number)
        yield nodes
    finally:
        nodes.stop()
        hosts.down()


class Client:
    """Appends and reads in its namespace."""

    def __init__(self, nodes: Nodes, root: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self.process = subprocess.Popen(
            [*nodes.hosts.inside(HERE), sys.executable, str(_CHILD), str(root), servers(), TOPIC],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def caught_up(self) -> dict[str, Any]:
        """The longest gaps once everything that was accepted has been read."""
        end = time.monotonic() + 75
        time.sleep(5)
        while (figures := self.ask("figures"))["behind"] > 100:
            assert time.monotonic() < end, figures
            time.sleep(0.5)
        return figures

    def ask(self, word: str) -> dict[str, Any]:
        self.say(word)
        answer: dict[str, Any] = json.loads(self.hear())
        return answer


def test_no_accepted_event_is_lost_with_the_leader(nodes: Nodes, tmp_path: Path) -> None:
    client = Client(nodes, tmp_path / "client")
    try:
        assert client.hear() == "going"
        leader = nodes.leader(wanted=3)
        client.say("anew")
        nodes.kill(leader)
        print("leader killed:", client.caught_up())
        nodes.start(leader)
        leader = nodes.leader(wanted=3)
        client.say("anew")
        nodes.hosts.cut(leader)
        print("leader cut off:", client.caught_up())
        nodes.hosts.heal(leader)
        time.sleep(2)
        report = client.ask("end")
    finally:
        client.process.kill()
        client.process.communicate()
    print(report)
    assert report["accepted"] > 500
    assert report["lost"] == 0
    assert report["in_order"]
    # What the lost leader had perhaps written, and did not confirm: its id tells.
    assert report["doubled"] < 10
