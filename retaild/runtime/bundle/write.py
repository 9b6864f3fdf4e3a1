"""Writing the bundle."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from retaild.config.paths import DataDir
from retaild.runtime.bundle.collect import PARTS, log_files, part

_README = """\
Made by `retaildctl bundle debug`. It holds versions, figures, settings and logs, and no secrets and
nothing about customers or goods: of each text only those words are kept that stand in retaild's own
messages. <...> stands for a word, <number>, <path> and <address> for what they say.
"""


def write_bundle(
    target: Path,
    data: DataDir,
    config: Path | None,
    progress: Callable[[float, str], None] = lambda _fraction, _text: None,
) -> dict[str, int]:
    """Write a .tar.gz, readable by its owner only; names and bytes of what is in it.

    Works without a daemon, and with a state or configuration that cannot be read. Raises OSError
    if the file cannot be written.
    """
    beside = target.with_name(f"{target.name}.partial")
    sizes: dict[str, int] = {}
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as file,
            tarfile.open(fileobj=file, mode="w:gz") as tar,
        ):

            def add(name: str, text: str) -> None:
                content = text.encode()
                member = tarfile.TarInfo(f"retaild-debug/{name}")
                member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
                tar.addfile(member, io.BytesIO(content))
                sizes[name] = len(content)

            add("README", _README)
            for number, name in enumerate(PARTS):
                progress(number / (len(PARTS) + 1), name)
                add(f"{name}.json", json.dumps(part(name, data, config), indent=1, default=str))
            progress(len(PARTS) / (len(PARTS) + 1), "logs")
            for name, text in log_files(data):
                add(f"logs/{name}", text)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return sizes
