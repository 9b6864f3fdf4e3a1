"""The process's Spark session and the Java process behind it."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retaild.api import BuildContext, ConfigError, RetaildError
from retaild.api.service import software_home
from retaild_plugins.cluster.spark.config import SparkConfig

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The Java process must say where it listens within so many seconds.
START_SECONDS = 120.0
_PR_SET_PDEATHSIG = 1
#: What Spark needs of Java's own modules (its launcher's list).
MODULES = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio",
        "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref",
        "sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar",
    )
)  # fmt: skip


class SparkStartError(RetaildError):
    key = "spark.start"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"Spark's Java process did not start: {said}",
            hint="Spark needs Java 17 and the memory that heap_mib states.",
        )


@dataclass(frozen=True, slots=True)
class SparkHome:
    """The software `spark` on the disk."""

    home: Path

    @classmethod
    def of(cls, software_dir: Path) -> SparkHome:
        return cls(software_home(software_dir, "spark"))

    @property
    def python(self) -> Path:
        """What `sys.path` needs for pyspark."""
        return self.home / "python"

    @property
    def spark(self) -> Path:
        return self.python / "pyspark"

    @property
    def classpath(self) -> str:
        own = Path(__file__).parent  # log4j2.properties
        return f"{own}:{self.home}/classes:{self.home}/jars/*:{self.spark}/jars/*"

    @property
    def jars(self) -> str:
        return ",".join(sorted(str(path) for path in (self.home / "jars").glob("*.jar")))


def java() -> str:
    """The `java` on the path. Raises ConfigError."""
    found = shutil.which("java")
    if found is None:
        raise ConfigError(
            "There is no Java on this machine.",
            hint="Install it: apt-get install openjdk-17-jre-headless.",
        )
    return found


class Sessions:
    """One session a process: whoever needs Spark acquires it, and the last to release ends it."""

    def __init__(self) -> None:
        self._session: SparkSession | None = None
        self._jvm: subprocess.Popen[bytes] | None = None
        self._work: Path | None = None
        self._users = 0

    def acquire(self, config: SparkConfig, context: BuildContext) -> SparkSession:
        """The process's session, begun with these settings if there is none.

        Call it in a thread that lives as long as the session: Java is bound to its life.
        """
        if self._session is None:
            self._start(config, context)
        assert self._session is not None
        self._users += 1
        return self._session

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._stop()

    def _start(self, config: SparkConfig, context: BuildContext) -> None:
        home = SparkHome.of(context.software_dir)
        if str(home.python) not in sys.path:
            sys.path.append(str(home.python))
        context.state_dir.mkdir(parents=True, exist_ok=True)
        self._work = Path(tempfile.mkdtemp(prefix="spark-", dir=context.state_dir))
        try:
            self._jvm = _launch(config, home, _properties(config, context, home, self._work),
                                self._work)  # fmt: skip
            self._session = self._connect()
        except BaseException:
            self._stop()
            raise

    def _connect(self) -> SparkSession:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        SparkContext._ensure_initialized()
        return SparkSession.builder.getOrCreate()

    def _stop(self) -> None:
        session, self._session = self._session, None
        try:
            if session is not None:
                session.stop()
        finally:
            self._end_java()

    def _end_java(self) -> None:
        jvm, self._jvm = self._jvm, None
        if jvm is not None:
            _forget_gateway()
            jvm.kill()
            jvm.wait()
            assert jvm.stdin is not None
            jvm.stdin.close()
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)


def _forget_gateway() -> None:
    """pyspark keeps the connection to Java for the process's life; a new Java needs a new one."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    for name in ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"):
        os.environ.pop(name, None)


def _properties(
    config: SparkConfig, context: BuildContext, home: SparkHome, work: Path
) -> dict[str, str]:
    local = config.master == "local"
    found = {
        "spark.master": f"local[{context.threads}]" if local else config.master,
        "spark.app.name": f"retaild-{context.instance}",
        "spark.jars": home.jars,
        "spark.driver.memory": f"{config.heap_mib}m",
        "spark.executor.memory": f"{config.executor_mib}m",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.executorEnv.PYTHONPATH": str(home.python),
        "spark.driver.host": config.driver_host,
        "spark.driver.bindAddress": config.driver_host,
        "spark.local.dir": str(work),
        "spark.sql.warehouse.dir": str(work / "warehouse"),
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.python.worker.reuse": "true",
        "spark.sql.shuffle.partitions": str(context.threads if local else 4 * context.threads),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # The default of 50 takes seconds for each commit.
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.locality.wait": "0s",
    }
    if config.metastore:
        found["spark.hadoop.hive.metastore.uris"] = config.metastore
        found["spark.sql.catalogImplementation"] = "hive"
    return found


def _launch(
    config: SparkConfig, home: SparkHome, properties: dict[str, str], work: Path
) -> subprocess.Popen[bytes]:
    """Start Java and tell pyspark, by its environment, where to connect."""
    file, address = work / "spark.properties", work / "address"
    file.write_text("".join(f"{k} {v}\n" for k, v in properties.items()), "utf-8")
    file.chmod(0o600)
    command = [
        java(), "-cp", home.classpath, f"-Xmx{config.heap_mib}m", "-XX:+UseSerialGC",
        "-Duser.timezone=UTC", "-Djdk.reflect.useDirectMethodHandle=false",
        "-Dio.netty.tryReflectionSetAccessible=true", f"-Djava.io.tmpdir={work}", *MODULES,
        "org.apache.spark.deploy.SparkSubmit", "--properties-file", str(file), "pyspark-shell",
    ]  # fmt: skip
    environment = {
        **os.environ, "SPARK_HOME": str(home.spark), "SPARK_LOCAL_IP": config.driver_host,
        "PYTHONPATH": str(home.python),
        "SPARK_CONNECT_MODE": "0", "_PYSPARK_DRIVER_CONN_INFO_PATH": str(address),
    }  # fmt: skip
    jvm = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        preexec_fn=_bind,
    )  # fmt: skip
    until = time.monotonic() + START_SECONDS
    while not address.exists():
        if jvm.poll() is not None or time.monotonic() > until:
            jvm.kill()
            raise SparkStartError(f"it ended with code {jvm.wait()}.")
        time.sleep(0.05)
    _announce(address)
    return jvm


def _bind() -> None:
    """In the child: end with retaild, however that ends, and not by the terminal's Ctrl-C."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _announce(address: Path) -> None:
    """The file: port (4 bytes, big-endian), length of the secret (4 bytes), the secret."""
    content = address.read_bytes()
    os.environ["PYSPARK_GATEWAY_PORT"] = str(int.from_bytes(content[:4], "big"))
    os.environ["PYSPARK_GATEWAY_SECRET"] = content[8:].decode()
    os.environ["PYSPARK_PYTHON"] = sys.executable  # of the processes that run Python for Spark


#: pyspark allows for one session in a process.
SESSIONS = Sessions()
