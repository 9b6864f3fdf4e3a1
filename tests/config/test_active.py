"""The configuration in force as a file: read as the files were, never half, never with a secret."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from retaild.config.active import Active, ActiveStore
from retaild.config.documents import read_documents
from retaild.config.faults import ConfigFaultsError
from retaild.config.paths import DataDir
from retaild.config.settings import inspect_settings, load_settings

FILE = """\
[retaild]
store = "north"
[source.tills]
plugin = "tabular"
path = "in"
password = {file = "secrets/tills"}
since = 2026-01-31
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "retaild.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def candidate(main: Path, data: Path, **environment: str) -> Active:
    return Active.of(read_documents(main, environment), main, data)


def test_it_reads_like_the_files_it_was_made_of(main: Path, tmp_path: Path) -> None:
    path = tmp_path / "data" / "run" / "active.json"
    candidate(main, tmp_path / "data", RETAILD__API__PORT="9000").write(path)
    # The environment is in it, and not laid over it once more.
    settings = load_settings(path, None, {"RETAILD__API__PORT": "7000"})
    assert settings.retaild.store == "north"
    assert settings.api.port == 9000
    assert settings.retaild.data_dir == tmp_path / "data"
    # Relative paths start where the file was, and a date is text.
    assert settings.base_dir == main.parent
    assert settings.source["tills"].settings["since"] == "2026-01-31"


def test_faults_are_told_with_the_place_in_the_file_that_people_wrote(
    main: Path, tmp_path: Path
) -> None:
    main.write_text(FILE.replace('store = "north"', "stores = 3"))
    path = tmp_path / "candidate.json"
    candidate(main, tmp_path).write(path)
    _, _, (fault,) = inspect_settings(path)
    assert (fault.file, fault.line, fault.path) == (str(main), 2, "retaild.stores")


def test_secrets_stay_where_they_are_and_only_the_owner_may_look(
    main: Path, tmp_path: Path
) -> None:
    (main.parent / "secrets").mkdir()
    (main.parent / "secrets" / "tills").write_text("hunter2-canary")
    path = tmp_path / "active.json"
    candidate(main, tmp_path).write(path)
    assert "hunter2-canary" not in path.read_text()
    assert json.loads(path.read_text())["values"]["source"]["tills"]["password"] == {
        "file": "secrets/tills"
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"places": 5}', '{"base": "/", "values": {}}'])
def test_a_damaged_file_is_a_fault_and_no_crash(tmp_path: Path, text: str) -> None:
    path = tmp_path / "active.json"
    path.write_text(text)
    with pytest.raises(ConfigFaultsError, match="Cannot read this file"):
        load_settings(path)


def test_the_last_ten_are_kept_and_those_in_use(main: Path, tmp_path: Path) -> None:
    store = ActiveStore(DataDir(tmp_path / "data"))
    assert store.current() is None
    for _ in range(13):
        number = store.next_number()
        store.activate(candidate(main, tmp_path), number, "start", "retaild")
        store.prune(in_use={store.file(1)})
    assert [active.number for active in store.history()] == [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 1]
    current = store.current()
    assert current is not None
    assert (current.number, current.why) == (13, "start")
    assert store.next_number() == 14


def test_what_a_killed_reload_left_is_no_history(main: Path, tmp_path: Path) -> None:
    store = ActiveStore(DataDir(tmp_path / "data"))
    store.activate(candidate(main, tmp_path), 1, "start", "retaild")
    candidate(main, tmp_path).write(store.file(2))
    assert [active.number for active in store.history()] == [1]
    store.forget_unproven(but=3)
    assert not store.file(2).exists()


def test_the_digest_is_of_what_counts(main: Path, tmp_path: Path) -> None:
    first = candidate(main, tmp_path)
    main.write_text("# a comment\n" + FILE)
    assert candidate(main, tmp_path).sha256 == first.sha256
    main.write_text(FILE.replace("north", "south"))
    assert candidate(main, tmp_path).sha256 != first.sha256
