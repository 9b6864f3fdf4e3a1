"""The managed service `flume`: one agent. It listens nowhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from retaild.api import BuildContext, Endpoint, Server, TransientError
from retaild.api.kafka import client_settings, properties_text
from retaild.api.service import Figures, software_home, write_private
from retaild_plugins.cluster.flume.agent import NAME, agent_settings, components
from retaild_plugins.cluster.flume.config import FlumeServiceConfig

_ANSWER_SECONDS = 5.0
_LOG4J = """\
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{{1}} %m%n
appender.started.type=File
appender.started.name=started
appender.started.fileName={started}
appender.started.append=false
appender.started.layout.type=PatternLayout
appender.started.layout.pattern=%m%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
logger.counters.name=org.apache.flume.instrumentation.MonitoredCounterGroup
logger.counters.level=INFO
logger.counters.additivity=false
logger.counters.appenderRef.started.ref=started
"""


class KafkaAwayError(TransientError):
    key = "service.flume.kafka"

    def __init__(self, servers: str, reason: str) -> None:
        super().__init__(
            f"Flume's topic cannot be made sure of: Kafka at {servers} says {reason.rstrip('.')}.",
            hint="Is Kafka running, and are address, user and password right?",
        )


class FolderMissingError(TransientError):
    key = "service.flume.folder"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Flume cannot follow files in {folder}: there is no such folder.",
            hint="Make it, or correct `follow`; Flume goes on by itself when it is there.",
        )


class FlumeService:
    def __init__(self, config: FlumeServiceConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._root = context.state_dir

    def open(self) -> None:
        """Write the configuration and make the topic. Raises KafkaAwayError."""
        for name in ("conf", "channel/checkpoint", "channel/data"):
            (self._root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        log4j = _LOG4J.format(started=self._started)
        (self._root / "conf/log4j2.properties").write_text(log4j, "utf-8")
        client = client_settings(self._config, self._context.services_dir)
        settings = agent_settings(self._config, self._root, client)
        write_private(self._root / "conf/agent.conf", properties_text(settings))
        for folder in self._config.folders:
            folder.mkdir(parents=True, exist_ok=True)
        self._make_topic({"bootstrap.servers": self._config.bootstrap_servers, **client})

    def _make_topic(self, client: dict[str, str]) -> None:
        admin = AdminClient({**client, "log_level": 2})
        new = NewTopic(self._config.topic, num_partitions=1)
        try:
            (made,) = admin.create_topics([new], request_timeout=_ANSWER_SECONDS).values()
            made.result(_ANSWER_SECONDS + 1)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaAwayError(self._config.bootstrap_servers, error.args[0].str()) from error
        except TimeoutError as error:
            why = f"no answer within {_ANSWER_SECONDS:g} s"
            raise KafkaAwayError(self._config.bootstrap_servers, why) from error

    @property
    def _started(self) -> Path:
        """Where the agent writes which of its parts have started."""
        return self._root / "started.log"

    def servers(self) -> Sequence[Server]:
        jars = software_home(self._context.software_dir, "flume") / "jars"
        conf = self._root / "conf"
        command = (
            # What an agent before it has said goes when it starts, not when it is found running.
            "sh", "-c", 'rm -f "$0"; exec "$@"', str(self._started),
            "java", f"-Xmx{self._config.heap_mib}m", "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={(conf / 'log4j2.properties').as_uri()}",
            "-cp", f"{jars}/*", "org.apache.flume.node.Application",
            "-n", NAME, "-f", str(conf / "agent.conf"), "--no-reload-conf",
        )  # fmt: skip
        return [Server("flume", command, {}, self._root, stop_seconds=30.0)]

    def endpoints(self) -> Sequence[Endpoint]:
        return []

    def probe(self) -> Figures:
        """Whether its parts have started, and what they have not read or sent yet."""
        said = self._started.read_text("utf-8") if self._started.exists() else ""
        missing = [words for words in components(self._config) if words not in said]
        if missing:
            self._check_folders()
            raise TransientError(
                f"Flume has not said yet: {missing[0]}.", hint="It takes some seconds."
            )
        channel = sum(path.stat().st_size for path in (self._root / "channel/data").glob("log-*"))
        return {
            "bytes_to_follow": float(self._behind()),
            "files_to_read": float(sum(_unread(folder) for folder in self._config.folders)),
            "channel_mib": round(channel / 2**20, 1),
        }

    def _check_folders(self) -> None:
        """What it follows must be there when it starts; it looks again every three seconds.

        The folder is somebody else's: made here, it might be one that they may not write to.
        """
        for pattern in self._config.follow:
            folder = Path(pattern).parent
            if not folder.is_dir():
                raise FolderMissingError(folder)

    def _behind(self) -> int:
        """Bytes of followed files behind the positions that the agent wrote down."""
        try:
            marks = json.loads((self._root / "follow.json").read_text("utf-8"))
        except (OSError, ValueError):  # none yet, or it is being written
            return 0
        behind = 0
        for mark in marks:
            with suppress(OSError):
                behind += max(0, Path(mark["file"]).stat().st_size - int(mark["pos"]))
        return behind

    def close(self) -> None:
        """Forget what the agent has said: it has ended."""
        self._started.unlink(missing_ok=True)


def _unread(folder: Path) -> int:
    with suppress(OSError):
        return sum(
            1 for path in folder.iterdir()
            if path.is_file() and not path.name.startswith(".") and path.suffix != ".COMPLETED"
        )  # fmt: skip
    return 0
