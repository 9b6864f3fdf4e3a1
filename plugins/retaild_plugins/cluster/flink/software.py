"""What must be on the disk for Flink, and where its parts lie."""

from __future__ import annotations

from pathlib import Path

from retaild.api import Software
from retaild.api.service import Build, Maven, Pip

_HERE = Path(__file__).parent


def python(home: Path) -> Path:
    """The interpreter of Flink's own virtual environment: it needs an older pyarrow than ours."""
    return home / "python" / "bin" / "python"


def distribution(home: Path) -> Path:
    """Flink itself, as its Python package brings it: scripts, jars. Raises FileNotFoundError."""
    found = next(home.glob("python/lib/python3*/site-packages/pyflink"), None)
    if found is None:
        raise FileNotFoundError(f"there is no pyflink in {home}")
    return found


def libraries(home: Path) -> Path:
    """The folder with every jar that the servers load."""
    return home / "lib"


def _link(home: Path) -> None:
    folder = libraries(home)
    folder.mkdir(exist_ok=True)
    flink = distribution(home)
    # The jar for Python functions is optional in Flink; our job has one.
    own = [*flink.glob("lib/*.jar"), *flink.glob("opt/flink-python-*.jar")]
    for jar in [*own, *home.glob("jars/*.jar")]:
        link = folder / jar.name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / jar.relative_to(home))


SOFTWARE = Software(
    "flink",
    "2.3.0",
    (
        Maven(_HERE / "pom.xml"),
        Pip(_HERE / "requirements.txt", environment=True),
        Build(_link),
    ),
    disk_mib=1000,
)
