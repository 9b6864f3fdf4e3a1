"""What differs between two configurations: every setting that counts, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from retaild.config.diff import Change, differences
from retaild.config.documents import Document
from retaild.config.masking import HIDDEN, hide
from retaild.config.settings import Settings, inspect_settings


def read(tmp_path: Path, text: str) -> tuple[Settings, Document]:
    path = tmp_path / "retaild.toml"
    path.write_text(text)
    settings, document, faults = inspect_settings(path, None, {})
    assert settings is not None, faults
    return settings, document


def changes(tmp_path: Path, old: str, new: str) -> list[Change]:
    (before, was), (after, now) = read(tmp_path, old), read(tmp_path, new)
    return differences(before, after, was, now)


def test_a_default_that_is_written_down_is_no_change(tmp_path: Path) -> None:
    assert changes(tmp_path, "", "[api]\nport = 8470\n") == []


def test_what_was_changed_with_its_line(tmp_path: Path) -> None:
    (change,) = changes(tmp_path, "[api]\nport = 8000\n", "[api]\n\nport = 9000\n")
    file = str(tmp_path / "retaild.toml")
    assert change == Change("api.port", "changed", "8000", "9000", file, 3)


def test_a_setting_that_is_taken_out_goes_back_to_its_default(tmp_path: Path) -> None:
    (change,) = changes(tmp_path, "[api]\nport = 8000\n", "")
    assert (change.kind, change.before, change.after, change.line) == (
        "changed", "8000", "8470", 0,
    )  # fmt: skip


def test_of_a_new_instance_only_what_is_written_is_told(tmp_path: Path) -> None:
    source = '[source.tills]\nplugin = "tabular"\npath = "in"\n'
    added = changes(tmp_path, "", source)
    assert [(change.path, change.kind) for change in added] == [
        ("source.tills.path", "added"), ("source.tills.plugin", "added"),
    ]  # fmt: skip
    removed = changes(tmp_path, source, "")
    assert [(change.path, change.kind) for change in removed] == [
        ("source.tills.path", "removed"), ("source.tills.plugin", "removed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", '"canary-1"'),
        ("api_key", '"canary-1"'),
        ("tokens", '["canary-1"]'),
        ("secret_headers", '{X = "canary-1"}'),
    ],
)
def test_a_secret_is_never_shown(tmp_path: Path, name: str, value: str) -> None:
    old = f'[source.tills]\nplugin = "tabular"\n{name} = {value}\n'
    found = changes(tmp_path, old, old.replace("canary-1", "canary-2"))
    assert len(found) == 1
    assert (found[0].kind, found[0].before, found[0].after) == ("changed", HIDDEN, HIDDEN)


def test_a_reference_is_shown_and_another_content_is_told(tmp_path: Path) -> None:
    text = '[alert.duty]\nplugin = "x"\nrouting_key = {file = "key"}\n'
    settings, document = read(tmp_path, text)
    (change,) = differences(
        settings, settings, document, document, {("alert", "duty", "routing_key")}
    )
    assert change.before == '{"file": "key"}'
    assert change.after == '{"file": "key"}, with another content'


def test_hiding_keeps_what_is_no_secret() -> None:
    shown = hide({"path": "in", "password": "canary", "key": {"file": "k"}, "token": ""})
    assert shown == {"path": "in", "password": HIDDEN, "key": {"file": "k"}, "token": ""}
