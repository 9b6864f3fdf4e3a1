"""The managed service `spark`: a standalone master and one worker, on loopback."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from urllib.error import URLError
from urllib.request import urlopen

from retaild.api import BuildContext, Endpoint, Server, TransientError
from retaild.api.service import Figures
from retaild_plugins.cluster.spark.config import SparkServiceConfig
from retaild_plugins.cluster.spark.session import MODULES, SparkHome, java

#: Seconds that a probe waits for an answer.
PROBE_SECONDS = 4.0
_HOST = "127.0.0.1"


class SparkService:
    def __init__(self, config: SparkServiceConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._root = context.state_dir

    def open(self) -> None:
        for name in ("work", "tmp"):
            (self._root / name).mkdir(parents=True, exist_ok=True, mode=0o750)

    def servers(self) -> Sequence[Server]:
        config = self._config
        master = (
            "master.Master", "--host", _HOST, "--port", str(config.port),
            "--webui-port", str(config.master_page),
        )  # fmt: skip
        worker = (
            "worker.Worker", "--host", _HOST, "--port", str(config.worker_port),
            "--webui-port", str(config.worker_page),
            "--cores", str(config.cores), "--memory", f"{config.worker_mib}m",
            "--work-dir", str(self._root / "work"), f"spark://{_HOST}:{config.port}",
        )  # fmt: skip
        return [self._server("master", master), self._server("worker", worker)]

    def _server(self, name: str, words: Sequence[str]) -> Server:
        home = SparkHome.of(self._context.software_dir)
        main, *arguments = words
        command = (
            java(), "-cp", home.classpath, f"-Xmx{self._config.heap_mib}m", "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError", f"-Djava.io.tmpdir={self._root / 'tmp'}",
            # What an application leaves in `work` is removed an hour after its end.
            "-Dspark.worker.cleanup.enabled=true", "-Dspark.worker.cleanup.appDataTtl=3600",
            *MODULES, f"org.apache.spark.deploy.{main}", *arguments,
        )  # fmt: skip
        environment = {
            "SPARK_HOME": str(home.spark), "SPARK_LOCAL_IP": _HOST, "SPARK_LOCAL_HOSTNAME": _HOST,
            "SPARK_LOCAL_DIRS": str(self._root / "tmp"), "PYTHONPATH": str(home.python),
            "PYSPARK_PYTHON": sys.executable, "PATH": os.environ.get("PATH", ""),
            # Else whoever starts executors looks for a source tree to find it in.
            "SPARK_SCALA_VERSION": "2.13",
        }  # fmt: skip
        # Either finds the other again, and so do applications: each may be started alone.
        return Server(name, command, environment, self._root, stop_seconds=15.0, alone=True)

    def endpoints(self) -> Sequence[Endpoint]:
        config = self._config
        return [
            Endpoint("master", config.port),
            Endpoint("master page", config.master_page),
            Endpoint("worker", config.worker_port),
            Endpoint("worker page", config.worker_page),
        ]

    def probe(self) -> Figures:
        address = f"http://{_HOST}:{self._config.master_page}/json/"
        try:
            with urlopen(address, timeout=PROBE_SECONDS) as answer:
                state = json.load(answer)
        except (URLError, OSError, ValueError) as error:
            raise TransientError(
                f"Spark's master does not answer yet: {error}.", hint="It takes some seconds."
            ) from error
        if not state["aliveworkers"]:
            raise TransientError("Spark's worker is not there yet.", hint="It takes some seconds.")
        return {
            "cores": float(state["cores"]),
            "cores_used": float(state["coresused"]),
            "memory_mib": float(state["memory"]),
            "applications": float(len(state["activeapps"])),
        }

    def close(self) -> None:
        """Nothing is held."""
