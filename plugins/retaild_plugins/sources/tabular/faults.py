"""What is wrong with a whole file: one clear sentence, and how to mend it."""

from __future__ import annotations

from retaild.api import RetaildError


class FileFaultError(RetaildError):
    """A file that cannot be read (further). `key` tells which of the faults it is."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.key = f"file.{key}"


def not_this_format(name: str, wanted: str, why: str) -> FileFaultError:
    return FileFaultError(
        "format",
        f"{name} is not a readable {wanted} file: {why}.",
        "Export it again, or set `format` to what it is.",
    )


def columns_missing(name: str, missing: list[str], found: list[str]) -> FileFaultError:
    have = ", ".join(found[:40]) or "none"
    return FileFaultError(
        "columns",
        f"{name} has no column {', '.join(map(repr, missing))}; it has {have}.",
        "Correct the names under `columns` (or `delimiter`, `skip_lines`), or the export.",
    )


def too_large(name: str, limit: int) -> FileFaultError:
    return FileFaultError(
        "too_large",
        f"{name} unpacks to more than {limit:,} bytes; the rows up to there were read.",
        "Split the file, or raise `max_unpacked_bytes` if its size is right.",
    )


def outside(name: str) -> FileFaultError:
    return FileFaultError(
        "outside",
        f"{name} is a link to a file outside the watched folder and is not read.",
        "Put the file itself into the folder.",
    )


def unreadable(name: str, why: str) -> FileFaultError:
    return FileFaultError(
        "unreadable", f"{name} cannot be read: {why}.", "Check its permissions and the disk."
    )
