"""Which files are the configuration, and where the data directory is.

Light on purpose (no pydantic): commands that only talk to the running daemon need nothing else.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SYSTEM_CONFIG = Path("/etc/retaild/retaild.toml")
SYSTEM_DATA = Path("/var/lib/retaild")
CONFIG_VARIABLE = "RETAILD_CONFIG"
DATA_VARIABLE = "RETAILD__RETAILD__DATA_DIR"


def locate_config(given: Path | None = None) -> Path | None:
    """The main file: the given one, $RETAILD_CONFIG, ./retaild.toml, /etc/retaild/retaild.toml.

    A file that was named need not exist (reading it says so); None if nothing was named and none
    of the usual places has one: then the defaults hold.
    """
    if given is not None:
        return given
    if os.environ.get(CONFIG_VARIABLE):
        return Path(os.environ[CONFIG_VARIABLE])
    usual = (Path("retaild.toml"), SYSTEM_CONFIG)
    return next((path for path in usual if path.is_file()), None)


def config_files(main: Path | None) -> list[Path]:
    """The main file and `conf.d/*.toml` beside it, in the order in which later ones win."""
    if main is None:
        return []
    return [main, *sorted((main.parent / "conf.d").glob("*.toml"))]


def base_dir(main: Path | None) -> Path:
    """Relative paths in the configuration start here: the main file's directory, else the cwd."""
    return (main.parent if main is not None else Path()).absolute()


def default_data_dir(main: Path | None) -> Path:
    """/var/lib/retaild for the system's configuration, else `retaild-data` beside the file."""
    base = base_dir(main)
    return SYSTEM_DATA if base == SYSTEM_CONFIG.parent else base / "retaild-data"


def locate_data_dir(config: Path | None = None, data: Path | None = None) -> Path:
    """The data directory: `data` if given, else from environment, configuration or default.

    Reads no more than it needs and never complains: a broken file counts as an empty one.
    """
    main = locate_config(config)
    if data is not None:
        return data.absolute()
    if os.environ.get(DATA_VARIABLE):
        return base_dir(main) / os.environ[DATA_VARIABLE]
    found: Path | None = None
    for path in config_files(main):
        stated = _read(path).get("retaild", {}).get("data_dir")
        found = base_dir(main) / stated if isinstance(stated, str) else found
    return found or default_data_dir(main)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document.get("retaild", {}), dict) else {}
