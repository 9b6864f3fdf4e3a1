"""Installing plugins into a data directory: what fits, what clashes, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings, load_settings
from retaild.host.environments import Launch, launch_of
from retaild.host.errors import PluginInUseError, PluginNotInstalledError, PluginRefusedError
from retaild.host.install import delete_files, install, remove, rollback
from retaild.host.installed import read_installed
from retaild.host.registry import PluginRegistry
from retaild.host.requirements import ClashError
from retaild.host.wheel import BadWheelError
from tests.host.wheels import acme, gate, library, source, wheel


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "data")
    data.create()
    return data


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str], Settings]:
    def read(text: str) -> Settings:
        (tmp_path / "retaild.toml").write_text(text)
        return load_settings(tmp_path / "retaild.toml", environment={})

    return read


def files(data: DataDir) -> list[str]:
    """What a failure may not have changed."""
    kept = ("plugins/.lock", "plugins/catalog.json")
    return sorted(
        str(p.relative_to(data.root))
        for p in data.root.rglob("*")
        if str(p.relative_to(data.root)) not in kept and "__pycache__" not in p.parts
    )


def offline(folder: Path) -> list[str]:
    return ["--no-index", "--find-links", str(folder)]


def test_its_whole_life(data: DataDir, tmp_path: Path, settings: Callable[[str], Settings]) -> None:
    """Installed, upgraded, taken back, refused to go while in use, removed."""
    first = install(data, None, str(wheel(tmp_path / "1")))
    assert (first.before, first.distribution) == (None, "retaild-acme")
    site = data.root / "plugins/retaild-acme/1.0/site"
    assert launch_of("source", "acme", data) == Launch(path=(str(site),))
    assert launch_of("source", "tabular", data) == Launch()

    used = settings("[source.door]\nplugin = 'acme'\nlevel = 3\n")
    install(data, used, str(wheel(tmp_path / "2", version="2.0")), upgrade=True)
    assert launch_of("source", "acme", data).path == (str(site).replace("1.0", "2.0"),)
    assert site.is_dir()

    rollback(data, used, "retaild-acme", "1.0")
    assert read_installed(data)["retaild-acme"].active == "1.0"

    with pytest.raises(PluginInUseError, match=r"in use by \[source.door\]"):
        remove(data, used, "acme")
    change = remove(data, settings(""), "acme")
    delete_files(data, change)
    assert launch_of("source", "acme", data) == Launch()
    assert not (data.root / "plugins/retaild-acme").exists()
    with pytest.raises(PluginNotInstalledError):
        remove(data, None, "acme")


@pytest.mark.slow
def test_it_is_built_from_its_own_files(data: DataDir, tmp_path: Path) -> None:
    """In a process of its own, as a component's is: what it imports stays there."""
    helper = "def level(config): return config.level * 2\n"
    text = source("acme", "from retaild_acme.helper import level\n")
    install(data, None, str(wheel(tmp_path, files=acme(text, helper=helper))))
    program = f"""
import sys
from pathlib import Path
from retaild.config.paths import DataDir
from retaild.config.sections import PluginInstance
from retaild.config.settings import Settings
from retaild.host.registry import PluginRegistry
data = DataDir(Path({str(data.root)!r}))
plugin = PluginInstance(plugin="acme", settings={{"level": 4}})
made = PluginRegistry.load(data).build("source", "door", plugin, Settings(), data)
print(sys.modules["retaild_acme.helper"].level(made.config), made.context.instance)
print([name for name in sys.modules if name.startswith("retaild_plugins.")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["8 door", "[]"], done.stderr


@pytest.mark.slow
def test_the_same_wheel_again_changes_nothing(data: DataDir, tmp_path: Path) -> None:
    path = str(wheel(tmp_path / "1"))
    install(data, None, path)
    assert install(data, None, path).before == install(data, None, path, upgrade=True).after
    other = wheel(tmp_path / "2", files=acme(source() + "# changed\n"))
    with pytest.raises(PluginRefusedError, match="already, with other contents"):
        install(data, None, str(other), upgrade=True)
    with pytest.raises(PluginRefusedError, match=r"version 1.0 of it is installed already"):
        install(data, None, str(wheel(tmp_path / "3", version="3.0")))
    with pytest.raises(PluginNotInstalledError):
        install(data, None, str(wheel(tmp_path, "retaild-other")), upgrade=True)


@pytest.mark.slow
def test_what_is_missing_is_installed_with_it(data: DataDir, tmp_path: Path) -> None:
    library(tmp_path / "links", "tinylib", "1.5")
    text = source("acme", "import tinylib\nassert tinylib.VERSION == '1.5'\n")
    path = wheel(tmp_path, files=acme(text), requires=("tinylib>=1", "pydantic>=2", "retaild"))
    install(data, None, str(path), offline(tmp_path / "links"))
    version = read_installed(data)["retaild-acme"].current
    assert version.way == "path"
    assert version.packages == {"tinylib": "1.5", "retaild-acme": "1.0"}


def test_what_cannot_be_had_is_said_and_nothing_stays(data: DataDir, tmp_path: Path) -> None:
    before = files(data)
    path = wheel(tmp_path, requires=("a-library-that-nobody-has",))
    with pytest.raises(RetaildError, match="a-library-that-nobody-has"):
        install(data, None, str(path), offline(tmp_path))
    assert files(data) == sorted([*before, "plugins"])


class TestClash:
    """The host has packaging; a plugin wants one that is older than all."""

    @pytest.fixture
    def links(self, tmp_path: Path) -> Path:
        library(tmp_path / "links", "packaging", "0.1")
        return tmp_path / "links"

    def wheel(self, folder: Path, text: str, version: str = "1.0") -> str:
        return str(wheel(folder, version=version, files=acme(text), requires=("packaging==0.1",)))

    @pytest.mark.slow
    def test_it_gets_an_environment_of_its_own(
        self, data: DataDir, tmp_path: Path, links: Path
    ) -> None:
        text = source("acme", "import packaging\nassert packaging.VERSION == '0.1'\n")
        change = install(data, None, self.wheel(tmp_path, text), offline(links))
        assert "retaild-acme needs packaging==0.1, the host has" in change.reason
        launch = launch_of("source", "acme", data)
        assert launch.path == ()
        assert launch.python == data.root / "plugins/retaild-acme/1.0/venv/bin/python"
        program = (
            "import packaging, pydantic, pyarrow, sys; from pathlib import Path\n"
            "from retaild.config.paths import DataDir; from retaild.host.registry import *\n"
            f"registry = PluginRegistry.load(DataDir(Path({str(data.root)!r})))\n"
            "print(packaging.VERSION, registry.spec('source', 'acme').name, pydantic.VERSION[0])"
        )
        done = subprocess.run([launch.python, "-c", program], capture_output=True, text=True)
        assert done.stdout.split() == ["0.1", "acme", "2"], done.stderr
        with pytest.raises(RetaildError, match="works only in its own process"):
            PluginRegistry.load(data).spec("source", "acme")

    @pytest.mark.slow
    def test_a_kind_that_works_in_the_hosts_processes_is_refused(
        self, data: DataDir, tmp_path: Path, links: Path
    ) -> None:
        with pytest.raises(ClashError, match="does not fit the host's packages") as caught:
            install(data, None, self.wheel(tmp_path, gate()), offline(links))
        assert "A gate works in the host's own processes" in caught.value.hint
        assert read_installed(data) == {}

    def test_what_the_interface_needs_itself_is_refused_with_both_sides(
        self, data: DataDir, tmp_path: Path
    ) -> None:
        library(tmp_path / "links", "pydantic", "1.10")
        path = wheel(tmp_path, requires=("pydantic<2",))
        words = (
            r"retaild-acme 1.0 needs pydantic<2, but retaild's plugin interface needs pydantic>="
        )
        with pytest.raises(ClashError, match=words):
            install(data, None, str(path), offline(tmp_path / "links"))

    def test_another_retaild_is_needed(self, data: DataDir, tmp_path: Path) -> None:
        path = wheel(tmp_path, requires=("retaild>=99",))
        with pytest.raises(ClashError, match=r"needs retaild>=99; this is retaild 0\.") as caught:
            install(data, None, str(path))
        assert caught.value.hint


#: What a wheel's plugin.py does, and what is said of it.
BAD_PLUGINS = [
    ("import os; os._exit(1)", "ends the process"),
    ("raise SystemExit", "ends the process"),
    ("import nothing_like_it", "nothing_like_it"),
    ("x = 1", "registers nothing"),
    (source("tabular"), "source 'tabular' is the name of a plugin of retaild"),
    (source("acme").replace("summary=", "api_version=2, summary="), "interface 2"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "words"), BAD_PLUGINS)
def test_a_plugin_that_is_no_good_is_not_installed(
    data: DataDir, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(PluginRefusedError, match=words):
        install(data, None, str(wheel(tmp_path, files=acme(text))))
    assert read_installed(data) == {}
    assert not list((data.root / "plugins").glob("*acme*"))
    assert not list((data.root / "plugins").glob(".scratch*"))


@pytest.mark.slow
def test_a_name_of_another_strangers_plugin_is_theirs(data: DataDir, tmp_path: Path) -> None:
    install(data, None, str(wheel(tmp_path)))
    files = {path.replace("acme", "rival"): text for path, text in acme().items()}
    path = wheel(tmp_path, "retaild-rival", files=files, entry="retaild_rival.plugin")
    with pytest.raises(PluginRefusedError, match="is the name of a plugin of retaild-acme"):
        install(data, None, str(path))


def test_another_interface_is_refused_in_words(data: DataDir, tmp_path: Path) -> None:
    path = wheel(tmp_path, files=acme("import new_things"), interface="version-2")
    with pytest.raises(PluginRefusedError, match="written for plugin interface 2, but this"):
        install(data, None, str(path))


@pytest.mark.slow
def test_an_upgrade_that_breaks_a_configured_instance_is_refused(
    data: DataDir, tmp_path: Path, settings: Callable[[str], Settings]
) -> None:
    install(data, None, str(wheel(tmp_path / "1")))
    used = settings("[source.door]\nplugin = 'acme'\nlevel = 3\n")
    stricter = wheel(tmp_path / "2", version="2.0", files=acme(source().replace("ge=1", "ge=5")))
    with pytest.raises(PluginRefusedError, match=r"source\.door\.level is 3, but must be"):
        install(data, used, str(stricter), upgrade=True)
    renamed = wheel(tmp_path / "3", version="3.0", files=acme(source("other")))
    with pytest.raises(PluginRefusedError, match="no longer brings the source plugin 'acme'"):
        install(data, used, str(renamed), upgrade=True)
    assert read_installed(data)["retaild-acme"].active == "1.0"


#: Files in a wheel that nobody should unpack, and what is said of them.
EVIL = [
    ({"../evil.py": ""}, "outside of its directory"),
    ({"/etc/evil": ""}, "outside of its directory"),
    ({"a\\..\\evil.py": ""}, "outside of its directory"),
    ({"evil.pth": "import os"}, "at every start of Python"),
    ({"retaild/daemon/evil.py": ""}, "which is the host's"),
    ({"retaild_plugins/evil.py": ""}, "which is the host's"),
    ({"x-1.data/purelib/retaild/evil.py": ""}, "which is the host's"),
    ({"pydantic/evil.py": ""}, "the host has a package 'pydantic' already"),
    ({"json.py": ""}, "the host has a package 'json' already"),
    ({"retaild_acme/zeros.bin": "0" * 30_000_000}, "times its size"),
]


@pytest.mark.parametrize(("more", "words"), EVIL)
def test_a_hostile_wheel_is_not_unpacked(
    data: DataDir, tmp_path: Path, more: dict[str, str], words: str
) -> None:
    with pytest.raises(BadWheelError, match=words):
        install(data, None, str(wheel(tmp_path / "w", files={**acme(), **more})))
    assert not list(tmp_path.rglob("evil*"))
    assert read_installed(data) == {}


def test_a_link_in_a_wheel_is_refused(data: DataDir, tmp_path: Path) -> None:
    path = wheel(tmp_path)
    link = zipfile.ZipInfo("retaild_acme/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadWheelError, match="symbolic link"):
        install(data, None, str(path))


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "not a wheel"), (b"PK\x03\x04rest", "not a wheel")]
)
def test_what_is_no_wheel(data: DataDir, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x-1.0-py3-none-any.whl").write_bytes(content)
    with pytest.raises(BadWheelError, match=words):
        install(data, None, str(tmp_path / "x-1.0-py3-none-any.whl"))


def test_a_wheel_without_a_plugin(data: DataDir, tmp_path: Path) -> None:
    with pytest.raises(BadWheelError, match="no entry point") as caught:
        install(data, None, str(library(tmp_path, "tinylib", "1.0")))
    assert "pyproject.toml" in caught.value.hint


def test_a_damaged_list_of_plugins_counts_as_none(data: DataDir) -> None:
    (data.root / "plugins").mkdir()
    for text in ("", "{", "[1]", json.dumps({"format": 1, "plugins": {"a": {}}})):
        (data.root / "plugins/installed.json").write_text(text)
        assert read_installed(data) == {}
        assert launch_of("source", "acme", data) == Launch()
