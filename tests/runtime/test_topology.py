"""Which settings touch which process: what is left alone, and what must not be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from retaild.config.documents import KeyPath
from retaild.config.paths import DataDir
from retaild.config.settings import Settings, load_settings
from retaild.runtime.plans import plan_instance
from retaild.runtime.supervisor import WorkerPlan
from retaild.runtime.topology import TOUCHES, Basis, Secrets

FILE: dict[str, Any] = {
    "source": {"tills": {"plugin": "tabular", "path": "in"}, "web": {"path": "web"}},
    "alert": {"duty": {"plugin": "pagerduty"}},
}


def plans(tmp_path: Path, changed: Mapping[str, Any], **basis: Any) -> dict[str, str]:
    """Name -> fingerprint."""
    values = json.loads(json.dumps(FILE))
    for section, table in changed.items():
        for key, value in table.items():
            target = values.setdefault(section, {})
            if isinstance(value, dict) and isinstance(target.get(key), dict):
                target[key].update(value)
            else:
                target[key] = value
    path = tmp_path / "active.json"
    path.write_text(json.dumps({"base": "/etc/retaild", "values": values, "places": []}))
    settings = load_settings(path, tmp_path)
    found = Basis(settings, DataDir(tmp_path), path, **basis).plans()
    return {name: plan.fingerprint for name, plan in found.items()}


def touched(tmp_path: Path, changed: Mapping[str, Any]) -> set[str]:
    before, after = plans(tmp_path, {}), plans(tmp_path, changed)
    return {name for name in after if before.get(name) != after[name]}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"api": {"port": 9000}}, {"serve"}),
        ({"api": {"queue": 10}}, {"serve"}),
        ({"recommendations": {"count": 3}}, {"serve"}),
        ({"trainer": {"price": {"rounds": 3}}}, {"serve"}),
        ({"lake": {"interval_seconds": 1}}, {"stream"}),
        ({"stream": {"rows": 1}}, {"stream"}),
        ({"lake": {"silver_days": 3}}, set()),
        ({"job": {"trim": {"every_seconds": 60}}}, set()),
        ({"gate": {"quality": {"x": 1}}}, set()),
        ({"batch": {"threads": 1}}, set()),
        ({"features": {"x": 1}}, set()),
        ({"demo": {"x": 1}}, set()),
        ({"retaild": {"hung_seconds": 30}}, set()),
        ({"retaild": {"reload_seconds": 60}}, set()),
    ],
)
def test_who_is_touched(tmp_path: Path, changed: dict[str, Any], expected: set[str]) -> None:
    assert touched(tmp_path, changed) == expected


def own_process(kind: str, name: str, *_: object) -> WorkerPlan:
    return WorkerPlan(f"{kind}.{name}", kind, ())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"source": {"tills": {"path": "elsewhere"}}}, {"source.tills"}),
        ({"source": {"tills": {"limits": {"memory_mib": 64}}}}, {"source.tills"}),
        ({"source": {"more": {"plugin": "tabular", "path": "more"}}}, {"source.more"}),
        ({"alert": {"duty": {"address": "http://x"}}}, {"alert.duty"}),
        ({"api": {"max_backlog_rows": 5000}}, {"serve", "ingest"}),
    ],
)
def test_an_instance_with_a_process_of_its_own_is_touched_alone(
    tmp_path: Path, changed: dict[str, Any], expected: set[str]
) -> None:
    before = plans(tmp_path, {}, plan_instance=own_process)
    after = plans(tmp_path, changed, plan_instance=own_process)
    assert {name for name in after if before.get(name) != after[name]} == expected


def test_without_processes_of_their_own_instances_touch_nobody(tmp_path: Path) -> None:
    assert touched(tmp_path, {"source": {"tills": {"path": "elsewhere"}}}) == set()


def test_the_bus_and_the_zone_touch_all_that_work_with_events(tmp_path: Path) -> None:
    assert {"ingest", "stream", "serve"} <= touched(tmp_path, {"bus": {"segment_bytes": 1024}})
    before = plans(tmp_path, {})
    assert touched(tmp_path, {"retaild": {"timezone": "Europe/Paris"}}) == set(before)


def test_a_plugin_of_another_version_is_another_plugin(tmp_path: Path) -> None:
    before = plans(tmp_path, {}, plugins={"stream.embedded": "a 1.0"})
    after = plans(tmp_path, {}, plugins={"stream.embedded": "a 1.1"})
    assert {name for name in before if before[name] != after[name]} == {"stream"}


def test_the_socket_is_handed_to_the_server_alone(tmp_path: Path) -> None:
    path = tmp_path / "active.json"
    path.write_text(json.dumps({"base": "/", "values": {}, "places": []}))
    settings = load_settings(path, tmp_path)
    found = Basis(settings, DataDir(tmp_path), path, listening=7).plans()
    assert found["serve"].pass_fds == (7,)
    assert dict(found["serve"].environment) == {"RETAILD_LISTEN_FD": "7"}
    assert found["stream"].pass_fds == ()


def test_every_setting_is_given_to_somebody(tmp_path: Path) -> None:
    """A section that nobody thought about would touch every process at each change."""
    missing = [name for name in Settings.model_fields if (name,) not in TOUCHES]
    assert missing == [], f"add {missing} to TOUCHES in retaild/runtime/topology.py"
    for path in TOUCHES:
        assert _exists(Settings, path), f"{path} is no setting (any more)"


def _exists(model: type[BaseModel], path: KeyPath) -> bool:
    info = model.model_fields.get(path[0])
    if info is None or len(path) == 1:
        return info is not None
    kind = info.annotation
    return isinstance(kind, type) and issubclass(kind, BaseModel) and _exists(kind, path[1:])


def test_a_secret_with_another_content_touches_its_instance(tmp_path: Path) -> None:
    values = {"stream": {"password": {"file": "secret"}}}
    (tmp_path / "secret").write_text("one\n")
    secrets = Secrets()
    first = secrets.digests(values, tmp_path)
    assert secrets.digests(values, tmp_path) == first
    (tmp_path / "secret").write_text("two\n")
    second = secrets.digests(values, tmp_path)
    before = plans(tmp_path, values, secrets=first)
    after = plans(tmp_path, values, secrets=second)
    assert {name for name in before if before[name] != after[name]} == {"stream"}
    # The digest itself gives nothing away: it is another one in each daemon.
    assert Secrets().digests(values, tmp_path) != second
    (tmp_path / "secret").unlink()
    assert secrets.digests(values, tmp_path) == {("stream", "password"): ""}


def test_a_component_names_the_configuration_that_it_is_started_with(tmp_path: Path) -> None:
    """A reload forgets old configurations, but none that a process would be started with again."""
    config = tmp_path / "7.json"
    config.write_text(json.dumps({"base": "/", "values": FILE, "places": []}))
    settings = load_settings(config, tmp_path)
    basis = Basis(settings, DataDir(tmp_path), config, plan_instance=plan_instance)
    plans = basis.plans()
    assert {"source.tills", "source.web", "alert.duty", "ingest", "serve"} <= set(plans)
    assert all(config in plan.files for plan in plans.values())
