"""What the daemon is told to do is in the audit log, with who told it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.cli import main
from retaild.runtime.state import State
from tests.daemon.strangers import install, with_site

Start = Callable[..., Any]
SINK = """
from retaild.api import AlertSinkSpec, Config, hookimpl

class SinkConfig(Config):
    pass

class Sink:
    def open(self):
        pass
    def send(self, notification):
        pass
    def close(self):
        pass

@hookimpl
def retaild_alert_sinks():
    return [AlertSinkSpec(name="acme", summary="Tells.", config=SinkConfig,
                          build=lambda config, context: Sink())]
"""
#: Command line -> what of which target is written down.
TOLD = {
    "reload": ("config.reload", "configuration 1"),
    "worker restart ingest": ("worker.restart", "ingest"),
    "job run trim --argument what=0.1": ("job.run", "trim"),
    "plugin disable alert pager": ("instance.disable", "alert.pager"),
    "plugin enable alert pager": ("instance.resume", "alert.pager"),
    "alert test": ("alert.test", "pager"),
    "stop": ("daemon.stop", ""),
}


#: Which of them only ask for something: nothing was there before.
NO_BEFORE = {"job.run", "alert.test"}


def audit(state: State) -> list[dict[str, Any]]:
    return state.rows("SELECT who, via, what, target, before, after FROM audit ORDER BY id")


@pytest.mark.slow
def test_who_told_the_daemon_what(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "acme_sink", SINK)
    path = with_site(tmp_path / "site")
    # The command line sees what is installed beside the daemon, too.
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    daemon = start("ingest=steady", config='[alert.pager]\nplugin = "acme"\n', PYTHONPATH=path)
    daemon.wait_running("ingest", "alert.pager")
    state = State(daemon.data.state_db)
    ingest = next(row["pid"] for row in state.workers() if row["name"] == "ingest")
    me = f"system user {pwd.getpwuid(os.getuid()).pw_name}"
    for line, (what, target) in TOLD.items():
        before = len(audit(state))
        code = main([*line.split(), "-c", str(daemon.config)])
        (entry,) = audit(state)[before:]
        assert (entry["who"], entry["via"], entry["what"]) == (me, "command", what), (line, code)
        assert entry["target"].startswith(target), line
        assert (entry["before"] is None) == (what in NO_BEFORE), entry
        assert entry["after"] is not None, entry
        if what == "worker.restart":
            assert entry["before"] == {"state": "running", "pid": ingest}
    daemon.process.wait(20)
