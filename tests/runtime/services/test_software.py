"""Software is there as a whole or not at all, and what is in use is never disturbed."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest

from retaild.api import Software
from retaild.api.service import Build, Debian, Maven, MissingSoftwareError, software_home
from retaild.runtime.services.software import InstallError, install, is_installed


def _software(run: Callable[[Path], None], version: str = "1", disk_mib: int = 1) -> Software:
    return Software("shelf", version, (Build(run),), disk_mib)


def _writes(text: str) -> Callable[[Path], None]:
    return lambda home: (home / "program").write_text(text) and None


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    software = _software(_writes("one"))
    with pytest.raises(MissingSoftwareError, match="service install shelf"):
        software_home(tmp_path, "shelf")
    home = install(software, tmp_path)
    (home / "grown").touch()
    assert install(software, tmp_path) == home == software_home(tmp_path, "shelf")
    assert (home / "grown").exists()
    assert is_installed(software, tmp_path)


def test_a_fetch_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    def fails(home: Path) -> None:
        (home / "half").touch()
        raise OSError("the line is cut")

    with pytest.raises(InstallError, match="the line is cut"):
        install(_software(fails), tmp_path)
    assert not is_installed(_software(fails), tmp_path)
    home = install(_software(_writes("one")), tmp_path)
    assert sorted(p.name for p in home.iterdir()) == [".complete", "program"]


def test_one_that_was_killed_while_fetching_is_begun_anew(tmp_path: Path) -> None:
    def dies(home: Path) -> None:
        (home / "half").touch()
        os._exit(9)

    process = get_context("fork").Process(target=install, args=(_software(dies), tmp_path))
    process.start()
    process.join()
    assert process.exitcode == 9
    home = install(_software(_writes("one")), tmp_path)
    assert not (home / "half").exists()


def test_a_new_version_stands_beside_the_one_that_may_be_running(tmp_path: Path) -> None:
    first = install(_software(_writes("one"), "1"), tmp_path)
    second = install(_software(_writes("two"), "2"), tmp_path)
    assert (first / "program").read_text() == "one"
    assert software_home(tmp_path, "shelf") == second
    assert not is_installed(_software(_writes("one"), "1"), tmp_path)
    install(_software(_writes("three"), "3"), tmp_path)
    assert not first.exists()
    assert second.exists()


def test_another_pin_is_another_version(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    recipe.write_text("a==1")
    software = Software("shelf", "1", (Build(_writes("x"), (recipe,)),))
    install(software, tmp_path)
    recipe.write_text("a==2")
    assert not is_installed(software, tmp_path)


def test_a_disk_without_room_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="the disk is too full"):
        install(_software(_writes("one"), disk_mib=10**9), tmp_path)


def test_two_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    def counts(home: Path) -> None:
        with (tmp_path / "times").open("a") as file:
            file.write("x")

    both = [
        get_context("fork").Process(target=install, args=(_software(counts), tmp_path))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert (tmp_path / "times").read_text() == "x"


def test_without_maven_people_are_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pom = tmp_path / "pom.xml"
    pom.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match="apt-get install maven"):
        install(Software("shelf", "1", (Maven(pom),)), tmp_path)


def test_without_rights_people_are_told_whom_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    missing = Software("shelf", "1", (Debian("no-such-package", "no-such-program"),))
    with pytest.raises(InstallError, match=r"apt-get install .*no-such-package"):
        install(missing, tmp_path)
