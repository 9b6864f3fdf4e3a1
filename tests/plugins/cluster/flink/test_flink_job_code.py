"""A job is found again only by a worker that would hand in the same one. No Flink."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from retaild_plugins.cluster.flink import job_code
from retaild_plugins.cluster.flink.config import FlinkStreamConfig
from retaild_plugins.cluster.flink.rest import FlinkRest
from retaild_plugins.cluster.flink.runner import Run, Runner

from retaild.api import BuildContext
from retaild.api.bus import LogEnd, Topic

#: What the TaskManager's Python does: good rows of both codecs, a broken one, an unknown family.
_DECODE = """
import sys
from retaild_plugins.cluster.flink.staged import packed
from retaild.api import Entry, LogEntry
from retaild.events import arrow_schema
from retaild.events.codec import encode_table

table = arrow_schema("sale").empty_table()
entries = [
    Entry("sale", "json", 1, b'{"family": "sale"}'), Entry("sale", "json", 1, b"{"),
    Entry("sale", "arrow", 1, encode_table(table)), Entry("foreign", "json", 1, b"{}"),
]
packed([LogEntry(n, n, 1e9, entry) for n, entry in enumerate(entries)])
import retaild_plugins.cluster.flink.windows as windows
assert windows.packed_touches("sale", None) is None
windows.flink_windows()
for module in list(sys.modules.values()):
    if (module.__name__ or "").startswith("retaild") and getattr(module, "__file__", None):
        print(module.__file__)
"""


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    job_code.fingerprint.cache_clear()
    yield
    job_code.fingerprint.cache_clear()


def test_all_that_the_job_imports_counts() -> None:
    done = subprocess.run([sys.executable, "-c", _DECODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {Path(line) for line in done.stdout.split()}
    assert {"staged.py", "codec.py", "entries.py", "windows.py", "aggregates.py"} <= {
        path.name for path in imported
    }
    # A package without code of its own only says what it is.
    assert imported - {path for path in imported if _only_says(path)} <= set(job_code.files())


def _only_says(path: Path) -> bool:
    """Whether it holds docstrings and a version, and nothing that does anything."""
    body = ast.parse(path.read_text("utf-8")).body
    return all(isinstance(one, ast.Expr) or "__version__" in ast.unparse(one) for one in body)


class Jobs(FlinkRest):
    """A Flink that runs one job."""

    def __init__(self, name: str) -> None:
        super().__init__("http://127.0.0.1:1")
        self._name = name

    def jobs(self) -> dict[str, str]:
        return {"f00d": self._name}


@pytest.fixture
def name_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The name that a job gets which is handed in now, from entry 7 on."""
    names: list[str] = []

    def spawn(runner: Runner, spec: str) -> subprocess.Popen[bytes]:
        names.append(json.loads(spec)["flink"]["pipeline.name"])
        return subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setattr(Runner, "_spawn", spawn)

    def hand_in() -> str:
        with closing(Jobs("somebody-else")) as rest:
            runner(tmp_path, rest).start(7).abandon()
        return names.pop()

    return hand_in


def runner(root: Path, rest: FlinkRest) -> Runner:
    context = BuildContext(
        instance="stream", state_dir=root / "state", lake_dir=root / "lake",
        software_dir=root / "software",
    )  # fmt: skip
    (root / "software" / "flink" / "current").mkdir(parents=True, exist_ok=True)
    topic = Topic("127.0.0.1:9092", "log", LogEnd(0, 0))
    return Runner(FlinkStreamConfig(), context, rest, topic)


def found(root: Path, name: str) -> Run | None:
    with closing(Jobs(name)) as rest:
        return runner(root, rest).running()


def test_the_job_of_the_same_code_is_found_again(
    tmp_path: Path, name_of: Callable[[], str]
) -> None:
    run = found(tmp_path, name_of())
    assert run is not None
    assert (run.job, run.start) == ("f00d", 7)


@pytest.mark.parametrize(
    "name", ["staged.py", "codec.py", "entries.py", "sale.py", "job.py", "aggregates.py"]
)
def test_the_job_of_other_code_is_not(
    tmp_path: Path, name_of: Callable[[], str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One byte more in what it imports."""
    before = name_of()
    listed = job_code.files()
    (old,) = [path for path in listed if path.name == name]
    new = tmp_path / name
    new.write_bytes(old.read_bytes() + b"#")
    changed = [new if path == old else path for path in listed]
    monkeypatch.setattr(job_code, "files", lambda: changed)
    job_code.fingerprint.cache_clear()
    assert found(tmp_path, before) is None
    assert found(tmp_path, name_of()) is not None
