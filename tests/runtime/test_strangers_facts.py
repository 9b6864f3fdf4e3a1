"""A stranger's plugin is looked at and never imported where what is known of it is enough."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.host.install import install, remove
from retaild.runtime.admin.facade import Admin
from retaild.runtime.context import Context, offline_context
from retaild.runtime.importing import NotImportableError, import_file
from retaild.runtime.pricing.desk import price_trainer
from retaild.runtime.pricing.errors import NoPriceTrainerError
from retaild.runtime.serving.services import follower
from tests.host.wheels import acme, wheel

#: Leaves the number of each process that imports it.
PLUGIN = textwrap.dedent("""
    import os, pathlib
    (pathlib.Path({seen!r}) / str(os.getpid())).touch()
    from retaild.api import Config, SourceSpec, TrainerSpec, hookimpl

    class Settings(Config):
        pass

    @hookimpl
    def retaild_trainers():
        return [TrainerSpec(name="acme", summary="Trains.", config=Settings, build=print)]

    @hookimpl
    def retaild_sources():
        return [SourceSpec(name="acme", summary="Listens.", config=Settings, build=print)]
""")


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    (tmp_path / "seen").mkdir()
    return tmp_path / "seen"


@pytest.fixture
def stranger(tmp_path: Path, seen: Path) -> Path:
    return wheel(tmp_path / "wheels", files=acme(PLUGIN.format(seen=str(seen))))


def context(tmp_path: Path) -> Context:
    config = tmp_path / "retaild.toml"
    trainers = "".join(f'[trainer.{name}]\nplugin = "acme"\n' for name in ("price", "recommender"))
    config.write_text(f'[source.door]\nplugin = "acme"\n{trainers}')
    return offline_context(config, tmp_path / "data")


def test_whose_models_they_are_is_known_without_an_import(
    tmp_path: Path, stranger: Path, seen: Path
) -> None:
    data = DataDir(tmp_path / "data")
    data.create()
    install(data, None, str(stranger))
    found = context(tmp_path)
    assert follower(found, "recommender") is not None
    assert follower(found, "price") is None
    with pytest.raises(NoPriceTrainerError):
        price_trainer(found)
    with pytest.raises(NotImportableError, match="reads no files"):
        import_file(found, tmp_path / "some.csv", "door")
    others = {path.name for path in seen.iterdir()}
    assert others, "nobody has looked at it"
    assert str(os.getpid()) not in others


def test_the_server_shows_what_is_installed_now(tmp_path: Path, stranger: Path, seen: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.create()
    (tmp_path / "retaild.toml").write_text("")
    admin = Admin(offline_context(tmp_path / "retaild.toml", data.root))

    def summaries() -> list[str]:
        return [row["summary"] for row in admin.plugins() if row["name"] == "acme"]

    assert summaries() == []
    install(data, None, str(stranger))
    assert sorted(summaries()) == ["Listens.", "Trains."]
    newer = wheel(
        tmp_path / "newer", version="2.0",
        files=acme(PLUGIN.format(seen=str(seen)).replace("Listens", "Hears")),
    )  # fmt: skip
    install(data, None, str(newer), upgrade=True)
    assert sorted(summaries()) == ["Hears.", "Trains."]
    remove(data, None, "acme")
    assert summaries() == []
