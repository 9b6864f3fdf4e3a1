"""The managed service `flink`: a session cluster of one JobManager and one TaskManager."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, Endpoint, Server, TransientError
from retaild.api.service import Figures, software_home
from retaild_plugins.cluster.flink.config import FlinkServiceConfig
from retaild_plugins.cluster.flink.rest import FlinkAwayError, FlinkRest
from retaild_plugins.cluster.flink.software import distribution, libraries, python

#: What Java 17 must open for Flink and for the Arrow library of its Python functions.
_OPENED = ("lang", "net", "io", "nio", "util", "text", "time", "lang.reflect", "util.concurrent",
           "util.concurrent.atomic", "util.concurrent.locks")  # fmt: skip
_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = Console
logger.job.name = org.apache.flink.runtime.executiongraph.ExecutionGraph
logger.job.level = INFO
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c{1})%n
"""


class FlinkService:
    def __init__(self, config: FlinkServiceConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._root = context.state_dir
        self._rest: FlinkRest | None = None

    def open(self) -> None:
        """Write the configuration. Raises MissingSoftwareError."""
        for name in ("conf", "checkpoints", "savepoints", "tmp", "log"):
            (self._root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        conf = self._root / "conf"
        text = "".join(f"{key}: {value}\n" for key, value in self._settings().items())
        (conf / "config.yaml").write_text(text, "utf-8")
        (conf / "log4j-console.properties").write_text(_LOGGING, "utf-8")
        self._rest = FlinkRest(f"http://127.0.0.1:{self._config.port}")

    def _settings(self) -> dict[str, object]:
        config, root = self._config, self._root
        opens = " ".join(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED)
        own = "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED -XX:+ExitOnOutOfMemoryError"
        return {
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": config.rpc_port,
            "jobmanager.memory.process.size": f"{config.jobmanager_mib}m",
            "jobmanager.memory.jvm-metaspace.size": "160m",
            "jobmanager.memory.jvm-overhead.min": "96m",
            "jobmanager.memory.jvm-overhead.max": "128m",
            "jobmanager.memory.off-heap.size": "64m",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": config.slots,
            "taskmanager.memory.process.size": f"{config.taskmanager_mib}m",
            "taskmanager.memory.jvm-metaspace.size": "160m",
            "taskmanager.memory.jvm-overhead.min": "96m",
            "taskmanager.memory.jvm-overhead.max": "128m",
            "taskmanager.memory.framework.off-heap.size": "64m",
            "taskmanager.memory.task.off-heap.size": "96m",
            # For Python functions: of its own the job keeps no state to speak of.
            "taskmanager.memory.managed.fraction": 0.2,
            "taskmanager.memory.network.min": "24m",
            "taskmanager.memory.network.max": "32m",
            "parallelism.default": 1,
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": config.port,
            "blob.server.port": 0,
            "web.submit.enable": "false",
            "web.cancel.enable": "false",
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 20000,
            # A TaskManager that was killed is back within seconds: look for it soon.
            "slot.request.timeout": 300000,
            "io.tmp.dirs": root / "tmp",
            "execution.checkpointing.dir": (root / "checkpoints").as_uri(),
            "execution.checkpointing.savepoint-dir": (root / "savepoints").as_uri(),
            "env.log.dir": root / "log",
            "env.java.opts.all": f"{opens} {own}",
        }

    def servers(self) -> Sequence[Server]:
        """A TaskManager that ends is started again alone, and so is the JobManager: the
        TaskManager finds the new one, and the stream processor hands its job in again."""
        return [
            self._server("jobmanager", "jobmanager.sh"),
            self._server("taskmanager", "taskmanager.sh"),
        ]

    def _server(self, name: str, script: str) -> Server:
        home = software_home(self._context.software_dir, "flink")
        flink = distribution(home)
        environment = {
            "FLINK_HOME": str(flink),
            "FLINK_CONF_DIR": str(self._root / "conf"),
            "FLINK_LIB_DIR": str(libraries(home)),
            "FLINK_LOG_DIR": str(self._root / "log"),
            "FLINK_PID_DIR": str(self._root / "tmp"),
            "PYFLINK_PYTHON": str(python(home)),
            "MALLOC_ARENA_MAX": "2",
        }
        command = ("bash", str(flink / "bin" / script), "start-foreground")
        return Server(name, command, environment, self._root, stop_seconds=20.0, alone=True)

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("rest", self._config.port), Endpoint("rpc", self._config.rpc_port)]

    def probe(self) -> Figures:
        if self._rest is None:
            raise TransientError("Flink is not open.", hint="Wait.")
        overview = self._rest.overview()
        if not overview["taskmanagers"]:
            url = f"http://127.0.0.1:{self._config.port}"
            raise FlinkAwayError(url, "its TaskManager has not come yet")
        found = [self._rest.checkpoints(job) for job in self._rest.jobs()]
        return {
            "slots": float(overview["slots-total"]),
            "slots_free": float(overview["slots-available"]),
            "jobs": float(len(found)),
            "checkpoints": float(sum(one["counts"]["completed"] for one in found)),
            "checkpoints_failed": float(sum(one["counts"]["failed"] for one in found)),
            "restarts_from_checkpoint": float(sum(one["counts"]["restored"] for one in found)),
        }

    def close(self) -> None:
        if self._rest is not None:
            self._rest.close()
            self._rest = None
