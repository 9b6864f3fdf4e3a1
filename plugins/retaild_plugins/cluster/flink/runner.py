"""Hands the job in to Flink, finds it again, and ends it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from retaild.api import BuildContext, TransientError
from retaild.api.bus import Topic
from retaild.api.kafka import java_settings
from retaild.api.service import software_home
from retaild.pipeline.streams import bronze_schema, stream_pipelines
from retaild_plugins.cluster.flink import job_code
from retaild_plugins.cluster.flink.config import FlinkStreamConfig
from retaild_plugins.cluster.flink.rest import FlinkRest
from retaild_plugins.cluster.flink.software import python
from retaild_plugins.cluster.flink.windows import flink_windows

_log = logging.getLogger(__name__)

_JOB = Path(__file__).with_name("job.py")
#: A job that is cancelled ends within so many seconds.
STOP_SECONDS = 10.0
#: What the process that hands in the job prints, its last line the job's id.
_SAID = "submission.log"
_MIB = 1024 * 1024
#: The watermark is so far behind the newest event: tills' clocks and batches differ by as much.
_OUT_OF_ORDER_MS = 60_000
#: Flink's connector has Kafka's client under another name.
_SHADED, _LOGIN = "org.apache.flink.kafka.shaded.", "org.apache.kafka.common.security"


class SubmitError(TransientError):
    key = "flink.submit"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"Flink did not take the job: {said}",
            hint="It is handed in again. Is a slot free (`retaildctl service status flink`)?",
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A job from `start` on, a log offset; what it has finished lies in `folder`."""

    job: str
    start: int
    folder: Path


class Submission:
    """A job on its way to Flink: that takes seconds of a Java that starts, and nobody waits."""

    def __init__(
        self, process: subprocess.Popen[bytes], start: int, folder: Path, seconds: float
    ) -> None:
        self._process, self._start, self._folder = process, start, folder
        self._began, self._until = time.monotonic(), time.monotonic() + seconds

    def result(self) -> Run | None:
        """The job; None while it is under way. Raises SubmitError."""
        code = self._process.poll()
        if code is None:
            if time.monotonic() < self._until:
                return None
            self.abandon()
            raise SubmitError("it took too long.")
        said = (self._folder.parents[1] / "client" / _SAID).read_text("utf-8", "replace")
        words = said.split()
        if code or not words:
            raise SubmitError(_reason(said))
        took = time.monotonic() - self._began
        _log.info(
            "Flink reads the log from entry %d on: job %s, handed in within %.1f s",
            self._start, words[-1], took,
        )  # fmt: skip
        return Run(words[-1], self._start, self._folder)

    def abandon(self) -> None:
        self._process.kill()
        self._process.wait()


class Runner:
    """The one job of this lake. Its name says which code and settings it runs with, and where it
    began; so a killed worker's job is found again, and that of an older version is replaced.
    """

    def __init__(
        self, config: FlinkStreamConfig, context: BuildContext, rest: FlinkRest, topic: Topic
    ) -> None:
        self._config, self._context, self._rest, self._topic = config, context, rest, topic
        self._staging = context.state_dir / "staging"
        lake = hashlib.sha256(str(context.lake_dir.resolve()).encode()).hexdigest()[:12]
        self._lake = f"retaild-{lake}"

    def running(self) -> Run | None:
        """The job that was handed in before and has not ended, if it is of our making and age."""
        for job, name in self._rest.jobs().items():
            run = self._run_of(job, name)
            if run is not None:
                return run
        return None

    def _run_of(self, job: str, name: str) -> Run | None:
        lake, _, rest = name.partition(":")
        age, _, place = rest.partition(":")
        start, _, folder = place.partition(":")
        if (lake, age) != (self._lake, self._age()) or not start.isdecimal():
            return None
        return Run(job, int(start), self._staging / folder)

    def _age(self) -> str:
        """Another one when the job would do something else."""
        schemas = [f"{name} {bronze_schema(name)}" for name in sorted(stream_pipelines())]
        spec = json.dumps(self._spec(0, "", Path("/")), sort_keys=True)
        does = "\n".join([job_code.fingerprint(), *schemas, spec])
        return hashlib.sha256(does.encode()).hexdigest()[:12]

    def start(self, offset: int) -> Submission:
        """Hand in a job from this log offset on, in the place of any other one of this lake.

        What others have left unfinished or untaken is read again. Raises SubmitError.
        """
        self.end()
        shutil.rmtree(self._staging, ignore_errors=True)
        folder = self._staging / uuid.uuid4().hex[:12]
        folder.mkdir(parents=True, mode=0o700)
        name = f"{self._lake}:{self._age()}:{offset}:{folder.name}"
        spec = json.dumps(self._spec(offset, name, folder))
        return Submission(self._spawn(spec), offset, folder, self._config.submit_seconds)

    def ended(self, run: Run) -> str | None:
        """Why the job will write no more; None while it does, or tries to.

        Others of this lake, which a killed worker may have been handing in, are ended.
        """
        own = self._own()
        for job in own - {run.job}:
            self._rest.cancel(job)
        if run.job in own:
            return None
        state = self._rest.state(run.job)
        return f"{state}: {self._rest.fault(run.job)}" if state else "Flink does not know it now"

    def end(self) -> None:
        """End every job of this lake; what it has not finished is read from the log again."""
        until = time.monotonic() + STOP_SECONDS
        for job in self._own():
            self._rest.cancel(job)
        while self._own():
            if time.monotonic() > until:
                raise SubmitError("the job before it does not end.")
            time.sleep(0.1)

    def _own(self) -> set[str]:
        names = self._rest.jobs()
        return {job for job, name in names.items() if name.startswith(f"{self._lake}:")}

    # -- handing in ----------------------------------------------------------------------------

    def _spawn(self, spec: str) -> subprocess.Popen[bytes]:
        """The specification holds passwords: it goes by standard input only."""
        home = software_home(self._context.software_dir, "flink")
        conf = self._context.state_dir / "client"
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "config.yaml").write_text("parallelism.default: 1\n", "utf-8")
        environment = {
            **os.environ,
            "FLINK_CONF_DIR": str(conf),
            # The one way to more jars that its launcher leaves open.
            "HADOOP_CLASSPATH": f"{home / 'jars'}/*",
            "FLINK_LOG_DIR": str(conf),
            # Its client would have the function run in itself, and it ends.
            "_python_worker_execution_mode": "process",
            # It looks into Java's own maps for what its Python functions need.
            "JVM_ARGS": "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
            "--add-opens=java.base/java.util=ALL-UNNAMED",
        }
        environment.pop("PYTHONPATH", None)
        # Nobody would know of a job that is handed in when this process is killed.
        lifeline = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (conf / _SAID).open("wb") as said:
            process = subprocess.Popen(
                [*lifeline, str(python(home)), "-P", str(_JOB)], stdin=subprocess.PIPE,
                stdout=said, stderr=subprocess.STDOUT, env=environment, cwd=conf,
            )  # fmt: skip
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(spec.encode())
        return process

    def _spec(self, offset: int, name: str, folder: Path) -> dict[str, object]:
        """What job.py is told. It holds passwords: by standard input only."""
        config, topic = self._config, self._topic
        home = software_home(self._context.software_dir, "flink")
        interval = f"{round(config.checkpoint_seconds * 1000)} ms"
        address = self._config.url.partition("://")[2].rstrip("/")
        host, _, port = address.rpartition(":")
        security = {
            f"properties.{key}": value.replace(_LOGIN, f"{_SHADED}{_LOGIN}")
            for key, value in java_settings(topic.client).items()
        }
        return {
            "base": topic.base.offset,
            "path": [folder for folder in sys.path if folder],
            "windows": dict.fromkeys(flink_windows(), _OUT_OF_ORDER_MS),
            "flink": {
                "execution.target": "remote",
                "rest.address": host,
                "rest.port": port,
                "pipeline.name": name,
                "parallelism.default": "1",
                "table.local-time-zone": "UTC",
                "execution.checkpointing.interval": interval,
                "execution.checkpointing.mode": "EXACTLY_ONCE",
                "execution.checkpointing.timeout": "120 s",
                "execution.checkpointing.tolerable-failed-checkpoints": "1000",
                # It tries for ever: a broker or a TaskManager that is away comes back.
                "restart-strategy.type": "exponential-delay",
                "restart-strategy.exponential-delay.initial-backoff": "500 ms",
                "restart-strategy.exponential-delay.max-backoff": "10 s",
                "python.executable": str(python(home)),
                "python.client.executable": str(python(home)),
                "python.fn-execution.arrow.batch.size": str(config.entries),
                "python.fn-execution.bundle.size": str(config.entries),
                "python.fn-execution.bundle.time": "100",
            },
            "source": {
                "connector": "kafka",
                "topic": topic.name,
                "properties.bootstrap.servers": topic.bootstrap_servers,
                "properties.max.partition.fetch.bytes": str(4 * _MIB),
                "properties.fetch.max.bytes": str(4 * _MIB),
                # The lake knows how far it is; an offset that is gone must not be skipped.
                "properties.enable.auto.commit": "false",
                "properties.auto.offset.reset": "none",
                "properties.client.id.prefix": "retaild-flink",
                "scan.startup.mode": "specific-offsets",
                "scan.startup.specific-offsets": f"partition:0,offset:{offset - topic.base.offset}",
                "format": "raw",
                **security,
            },
            "sink": {
                "connector": "filesystem",
                "path": folder.as_uri(),
                "format": "parquet",
                "parquet.compression": "UNCOMPRESSED",  # the content is compressed already
                "parquet.enable.dictionary": "false",
                "parquet.block.size": str(8 * _MIB),
            },
        }


def _reason(text: str) -> str:
    """The root cause in what a failed submission printed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    return " ".join(causes[-1:] or lines[-2:])[:500] or "it said nothing."
