"""Every command that changes something leaves an entry in the audit log that says who did it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.alerts import raise_alert
from retaild.runtime.state import State
from tests.cli.test_cli_commands import ALL
from tests.cli.test_cli_local import configured  # noqa: F401  (a fixture)
from tests.host.wheels import acme, source, wheel

Ctl = Callable[..., Any]

#: These only look.
READING = """
    status check recommend completion logs
    plugin:list,show,versions source:list,show job:list,history,show,log model:list,compare
    deadletter:list,show config:show,path,history price:show,history,what-if,list
    lake:tables,show,history,export worker:list alert:list,show,history user:list key:list
    audit:list,verify backup:list,verify profile:list,show service:list,status,logs
"""
#: Written into a project or a directory of somebody's own: there is no log yet, or none concerned.
ELSEWHERE = "init demo plugin:new"
#: The daemon itself: `config history` says when it started, and with what.
FOREGROUND = "run"
#: Need a daemon: tests/daemon/test_audit.py gives them.
#: `service restart` is `worker restart` of another name.
WITH_DAEMON = "stop reload worker:restart service:restart alert:test"
#: Through the API, which writes down each change it makes: tests/rest walks all its routes.
BY_API = "price:approve,reject"
#: What is given here, without a daemon -> the command line, and the entry that it leaves.
GIVEN: Mapping[str, tuple[str, str]] = {
    "import": ("import till.csv", "events.import"),
    "deadletter replay": ("deadletter replay --all", "dead_letter.replay"),
    "source reset": ("source reset tills --yes", "source.reset"),
    "job run": ("job run trim", "job.run"),
    "price propose": ("price propose", "job.run"),
    "model promote": ("model promote recommender 1", "job.run"),
    "model rollback": ("model rollback recommender", "job.run"),
    "plugin quarantine": ("plugin quarantine source tills", "instance.quarantine"),
    "plugin resume": ("plugin resume source tills", "instance.resume"),
    "plugin disable": ("plugin disable source tills", "instance.disable"),
    "plugin enable": ("plugin enable source tills", "instance.resume"),
    "plugin install": ("plugin install {wheel}", "plugin.install"),
    "plugin upgrade": ("plugin upgrade {newer}", "plugin.upgrade"),
    "plugin rollback": ("plugin rollback retaild-acme 1.0", "plugin.rollback"),
    "plugin remove": ("plugin remove acme", "plugin.remove"),
    "profile apply": ("profile apply edge --yes", "profile.apply"),
    "service install": ("service install {service}", "service.install"),
    "service stop": ("service stop search", "instance.disable"),
    "service start": ("service start search", "instance.resume"),
    "alert ack": ("alert ack 1", "alert.acknowledge"),
    "alert silence": ("alert silence --all", "alert.silence"),
    "alert unsilence": ("alert unsilence 1", "alert.unsilence"),
    "user add": ("user add ann --stdin", "user.add"),
    "user password": ("user password ann --stdin", "user.change"),
    "user role": ("user role ann operator", "user.change"),
    "user disable": ("user disable ann", "user.change"),
    "user enable": ("user enable ann", "user.change"),
    "user remove": ("user remove ann", "user.remove"),
    "key create": ("key create shop --scope recommend", "key.create"),
    "key revoke": ("key revoke {key}", "key.revoke"),
    "backup create": ("backup create {backups}", "backup.create"),
    "backup restore": ("backup restore {backup} --data {other}", "backup.restore"),
    "bundle debug": ("bundle debug bundle.tar.gz", "bundle.debug"),
    "doctor": ("doctor --fix --only permissions", "doctor.fix"),
}
#: Have nothing to state before, or after; all others state both.
NO_BEFORE = {"events.import", "user.add", "key.create", "alert.silence", "backup.create",
             "backup.restore", "bundle.debug"}  # fmt: skip
#: By their line: other jobs only are asked for, a first version comes to where there was none.
NO_BEFORE_HERE = {"job run", "price propose", "plugin install"}
NO_AFTER = {"user.remove", "key.revoke", "plugin.remove"}

POSITION = {"file": "till.csv", "offset": 41}


def named(text: str) -> set[str]:
    names = set()
    for word in text.split():
        name, _, parts = word.partition(":")
        names |= {f"{name} {part}" for part in parts.split(",")} if parts else {name}
    return names


def test_it_is_known_of_every_command_whether_it_changes_something() -> None:
    """A new command: if it changes something, it belongs into GIVEN or another test's list."""
    known = named(f"{READING} {ELSEWHERE} {FOREGROUND} {WITH_DAEMON} {BY_API}") | set(GIVEN)
    assert set(ALL) == known


def entries(data: DataDir) -> list[dict[str, Any]]:
    state = State(data.state_db)
    rows = state.rows("SELECT * FROM audit ORDER BY id")
    state.close()
    return rows


@pytest.fixture
def world(
    configured: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Mapping[str, object]:
    """What the commands are given; jobs themselves need not run to be asked for."""
    run = {"id": 1, "state": "failed", "error": "Not here.", "started": 0.0, "finished": 0.0}
    monkeypatch.setattr("retaild.cli.running._run_here", lambda *_: run)
    monkeypatch.setattr("retaild.runtime.registry.version", lambda *_: None)
    monkeypatch.setattr("retaild.runtime.services.software.install", lambda *_: "fetched")
    monkeypatch.setattr("sys.stdin.readline", lambda: "a rather long password\n", raising=False)
    with (configured / "retaild.toml").open("a") as file:
        file.write('[service.search]\nplugin = "elasticsearch"\n')
    data = DataDir(configured / "retaild-data")
    state = State(data.state_db)
    state.save_source_position("tills", POSITION)
    raise_alert(state, "disk.full", "warning", "It fills.", source="disk")
    state.close()
    newer = source().replace("Does it.", "Does it better.")
    return {
        "data": data,
        "service": "elasticsearch",
        "wheel": wheel(tmp_path / "1"),
        "newer": wheel(tmp_path / "2", version="2.0", files=acme(newer)),
        "backups": tmp_path / "backups",
        "other": tmp_path / "other",
    }


def test_each_command_leaves_an_entry_with_who_gave_it(
    ctl: Ctl, world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel says who it is; what the environment says is anybody's.
    monkeypatch.setenv("LOGNAME", "somebody-else")
    me = f"system user {pwd.getpwuid(os.getuid()).pw_name}"
    data: DataDir = world["data"]
    for name, (line, what) in GIVEN.items():
        if name == "doctor":
            data.root.chmod(0o777)
        world["key"] = next((e["target"] for e in entries(data) if e["what"] == "key.create"), "")
        world["backup"] = next((tmp_path / "backups").glob("*"), "")
        where = DataDir(tmp_path / "other") if name == "backup restore" else data
        before = len(entries(data))
        said = ctl(*line.format(**world).split())
        new = entries(where)[before if where is data else -1 :]
        assert [entry["what"] for entry in new] == [what], (name, said)
        assert {(entry["who"], entry["via"]) for entry in new} == {(me, "command")}, name
        assert new[0]["target"], name
        no_before = what in NO_BEFORE or name in NO_BEFORE_HERE
        assert (new[0]["before"] is None, new[0]["after"] is None) == (
            no_before, what in NO_AFTER,
        ), (name, new[0])  # fmt: skip


def test_from_what_to_what(
    ctl: Ctl, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries of commands that once said only what was asked for."""
    data: DataDir = world["data"]
    champion = SimpleNamespace(version=4)
    monkeypatch.setattr("retaild.runtime.registry.champion", lambda *_: champion)
    data.root.chmod(0o777)

    def entry(line: str) -> tuple[Any, Any]:
        ctl(*line.split())
        last = entries(data)[-1]
        return last["before"], last["after"]

    assert entry("source reset tills --yes") == ({"position": POSITION}, {"position": None})
    assert entry("source reset tills --yes") == ({"position": None}, {"position": None})
    before, after = entry("model promote recommender 5 --reason better")
    assert before == {"champion": 4}
    assert after == {"trainer": "recommender", "version": "5", "reason": "better"}
    before, after = entry("doctor --fix --only permissions")
    assert str(data.root) in before["found"]
    assert after == {"done": after["done"], "failed": False}
    assert after["done"] != before["found"]
    before, after = entry("service install elasticsearch")
    assert before == {"elasticsearch": "missing"}
    assert after == {"elasticsearch": "fetched"}
    before, after = entry("profile apply appliance --yes")
    assert before["settings"]["bus.plugin"] == '"embedded"'
    assert after["settings"]["bus.plugin"] == '"kafka"'
