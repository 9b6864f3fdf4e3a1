"""Profiles: settings that belong together, and what carries a data directory from one to another.

The lake is the same for every profile. The log is not moved: what it holds is carried into the
lake, the server's base is made from there, and the new log begins where the old one ended, so that
no offset that the lake has seen is given out again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from retaild.api.bus import LogEnd
from retaild.api.errors import RetaildError
from retaild.api.stream import StreamProcessor
from retaild.config.documents import Document, read_documents
from retaild.config.settings import Settings, load_settings
from retaild.host.lifecycle import closing_always
from retaild.runtime.context import Context, JobContext

#: What a profile writes, beside the main file.
FILE = "50-profile.toml"
#: Beside the log on a server: where that one begins in retaild's numbering.
BASE = "base.json"


class UnknownProfileError(RetaildError):
    key = "profile.unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no profile {name!r}.", hint=f"Known: {', '.join(names())}.")


class NoConfigFileError(RetaildError):
    key = "profile.no_config"

    def __init__(self) -> None:
        super().__init__(
            "There is no configuration file to put a profile beside.",
            hint="Make one with `retaildctl init`.",
        )


class OneWayError(RetaildError):
    key = "profile.one_way"

    def __init__(self, bus: str) -> None:
        super().__init__(
            f"The log is kept by {bus!r}; it cannot be carried back into the embedded log.",
            hint="Restore a backup that was made before, or go on with this bus: every other part "
            "of the profile can be set back one by one.",
        )


def names() -> list[str]:
    found = (resources.files("retaild.config") / "profiles").iterdir()
    return sorted(path.name.removesuffix(".toml") for path in found if path.name.endswith(".toml"))


def text_of(name: str) -> str:
    """The profile's settings as TOML. Raises UnknownProfileError."""
    if name not in names():
        raise UnknownProfileError(name)
    return (resources.files("retaild.config") / "profiles" / f"{name}.toml").read_text("utf-8")


@dataclass(frozen=True)
class Move:
    """A profile that is to be applied to a configuration."""

    name: str
    main: Path
    before: Settings
    after: Settings
    documents: tuple[Document, Document]
    #: Where it was tried: stands in `documents` for the directory of `main`.
    scratch: Path

    @property
    def file(self) -> Path:
        return self.main.parent / "conf.d" / FILE

    @property
    def changes_log(self) -> bool:
        return self.before.bus.plugin != self.after.bus.plugin


def plan(name: str, main: Path | None, data: Path | None) -> Move:
    """What it would be; writes nothing beside the configuration.

    Raises UnknownProfileError, NoConfigFileError, OneWayError, ConfigFaultsError.
    """
    text = text_of(name)
    if main is None:
        raise NoConfigFileError
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / main.name
        shutil.copyfile(main, copy)
        if (main.parent / "conf.d").is_dir():
            shutil.copytree(main.parent / "conf.d", copy.parent / "conf.d")
        before, was = load_settings(copy, data), read_documents(copy, os.environ)
        _write(copy.parent / "conf.d" / FILE, text)
        after, document = load_settings(copy, data), read_documents(copy, os.environ)
    if before.bus.plugin not in ("embedded", after.bus.plugin):
        raise OneWayError(before.bus.plugin)
    return Move(name, main, before, after, (was, document), Path(scratch))


def write(move: Move) -> Path | None:
    """Put the profile beside the main file; where what was there is kept, if it was another."""
    text, kept = text_of(move.name), None
    if move.file.exists() and move.file.read_text("utf-8") != text:
        kept = move.file.with_name(f"{FILE}.before")
        shutil.copyfile(move.file, kept)
    _write(move.file, text)
    return kept


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, "utf-8")
    new.replace(file)


def carry_over(context: Context, tell: Callable[[str], None]) -> LogEnd:
    """All that the log holds into the lake, and the server's base from there; the log's end.

    With no daemon at work. The next log begins there.
    """
    end = drain(context, tell)
    tell("making the server's base")
    materialize(context)
    begin_at(context.data.log / BASE, end)
    return end


def drain(context: Context, tell: Callable[[str], None]) -> LogEnd:
    """Let the configured stream processor carry the log into the lake, to its end."""
    bus = context.bus()
    processor: StreamProcessor = context.build("stream", "stream")
    with closing_always(bus, "the log"), closing_always(processor, "the stream processor"):
        bus.open()
        progress = processor.open(bus)
        end = bus.end()
        while progress.offset < end.offset:
            tell(f"{end.rows - progress.rows} rows of the log to go")
            progress = processor.step()
        return end


def materialize(context: Context) -> None:
    from retaild.runtime.jobs.materialize import run

    run(JobContext("materialize", context.settings, context.data, context.plugins, context.state,
                   threading.Event()))  # fmt: skip


def begin_at(path: Path, end: LogEnd) -> None:
    """Survives a power cut before anything is written to the new log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump({"offset": end.offset, "rows": end.rows, "at": time.time()}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
