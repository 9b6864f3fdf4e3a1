"""The managed service `kafka`: one node, broker and controller in one, on loopback."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from retaild.api import BuildContext, Endpoint, RetaildError, Server, TransientError
from retaild.api.kafka import USER, KafkaClientConfig, client_settings, jaas, properties_text
from retaild.api.service import Figures, make_password, software_home, write_private
from retaild_plugins.cluster.kafka.client import admin_client, reading_client
from retaild_plugins.cluster.kafka.config import KafkaServiceConfig

#: Seconds that a probe waits for each answer.
PROBE_SECONDS = 2.0
FORMAT_SECONDS = 60.0
LOG4J = """\
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "%d %p %m (%c{1})%n"}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: STDOUT}}
    Logger:
      - {name: kafka.server.KafkaRaftServer, level: INFO}
      - {name: kafka.server.BrokerServer, level: INFO}
"""


class FormatError(RetaildError):
    key = "service.kafka.format"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"Kafka's data directory could not be made: {said}",
            hint="Is there room on the disk, and Java 17?",
        )


class KafkaService:
    def __init__(self, config: KafkaServiceConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._root = context.state_dir
        self._admin: AdminClient | None = None
        self._reader: Consumer | None = None

    def open(self) -> None:
        """Write the configuration; make the data directory once. Raises FormatError."""
        conf = self._conf
        conf.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = make_password(self._root)
        (conf / "log4j2.yaml").write_text(LOG4J, "utf-8")
        write_private(conf / "server.properties", properties_text(self._settings(password)))
        if not (self._data / "meta.properties").exists():
            self._format()
        own = KafkaClientConfig(bootstrap_servers=f"127.0.0.1:{self._config.port}")
        client = client_settings(own, self._root.parent) | {"sasl.password": password}
        self._admin = admin_client(own.bootstrap_servers, client)
        self._reader = reading_client(own.bootstrap_servers, client, {})

    @property
    def _conf(self) -> Path:
        return self._root / "conf"

    @property
    def _data(self) -> Path:
        return self._root / "data"

    def _settings(self, password: str) -> Mapping[str, object]:
        config = self._config
        broker = f"BROKER://127.0.0.1:{config.port}"
        controller = f"CONTROLLER://127.0.0.1:{config.controller_port}"
        login = jaas(USER, password, {USER: password})
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{config.controller_port}",
            "listeners": f"{broker},{controller}",
            "advertised.listeners": f"{broker},{controller}",
            "listener.security.protocol.map": "CONTROLLER:SASL_PLAINTEXT,BROKER:SASL_PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKER",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.broker.plain.sasl.jaas.config": login,
            "listener.name.controller.plain.sasl.jaas.config": login,
            "log.dirs": self._data,
            "auto.create.topics.enable": "false",
            # One node: what would be kept thrice is kept once.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "log.segment.bytes": 64 * 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
            "log.message.timestamp.after.max.ms": 2**63 - 1,
        }

    def _format(self) -> None:
        """Make the store; the tool leaves `meta.properties` behind as its last act."""
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java(
            "kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted",
            "-t", cluster, "-c", str(self._conf / "server.properties"), heap=128,
        )  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=FORMAT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FormatError(str(error)) from error
        if done.returncode != 0:
            raise FormatError((done.stderr or done.stdout).strip()[-500:])

    def _java(self, main: str, *words: str, heap: int) -> tuple[str, ...]:
        jars = software_home(self._context.software_dir, "kafka") / "jars"
        return (
            "java", f"-Xms{heap}m", f"-Xmx{heap}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
            "-XX:MaxMetaspaceSize=160m", "-XX:ReservedCodeCacheSize=64m",
            "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={(self._conf / 'log4j2.yaml').as_uri()}",
            "-cp", f"{jars}/*", main, *words,
        )  # fmt: skip

    def servers(self) -> Sequence[Server]:
        properties = str(self._conf / "server.properties")
        command = self._java("kafka.Kafka", properties, heap=self._config.heap_mib)
        return [Server("kafka", command, {}, self._root, stop_seconds=30.0)]

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("broker", self._config.port),
            Endpoint("controller", self._config.controller_port),
        ]

    def probe(self) -> Figures:
        if self._admin is None or self._reader is None:
            raise TransientError("Kafka is not open.", hint="Wait.")
        try:
            topics = self._admin.list_topics(timeout=PROBE_SECONDS).topics
            names = [name for name in topics if not name.startswith("__")]
            ends = {
                f"records_{name}": float(
                    sum(self._end(TopicPartition(name, p)) for p in topics[name].partitions)
                )
                for name in names[:10]
            }
        except KafkaException as error:
            raise TransientError(
                f"Kafka does not answer yet: {error.args[0].str()}.", hint="It takes some seconds."
            ) from error
        disk = sum(path.stat().st_blocks * 512 for path in self._data.rglob("*.log"))
        return {"topics": float(len(names)), "disk_mib": round(disk / 2**20, 1), **ends}

    def _end(self, partition: TopicPartition) -> int:
        assert self._reader is not None
        return int(self._reader.get_watermark_offsets(partition, timeout=PROBE_SECONDS)[1])

    def close(self) -> None:
        self._admin = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
