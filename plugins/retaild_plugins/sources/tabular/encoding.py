"""From records in the file's encoding to records in UTF-8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.sources.tabular.records import Records

FALLBACK = "cp1252"


@dataclass(frozen=True, slots=True)
class Decoded:
    """The records in UTF-8, or None where `bad` (not in the encoding, or with a NUL in it).

    `block` is all good records, one after the other.
    """

    block: bytes
    bad: NDArray[np.bool_]


def to_utf8(block: bytes, records: Records, encoding: str, keep: NDArray[np.bool_]) -> Decoded:
    """Decode the records that `keep` says; whole blocks at once where nothing is wrong."""
    none_bad = np.zeros(len(records.starts), bool)
    kept = block if keep.all() else _only(block, records, keep)
    if 0 not in kept:
        try:
            return Decoded(_transcoded(kept, encoding), none_bad)
        except UnicodeDecodeError:
            pass
    return _one_by_one(block, records, encoding, keep)


def _transcoded(text: bytes, encoding: str) -> bytes:
    if encoding in ("utf-8", "auto") or encoding.startswith("utf-16"):
        text.decode("utf-8")
        return text
    return text.decode(encoding).encode("utf-8")


def _one_by_one(block: bytes, records: Records, encoding: str, keep: NDArray[np.bool_]) -> Decoded:
    """Only records with a byte that is not ASCII are looked at in Python."""
    signs = np.frombuffer(block, np.uint8)
    owners = np.searchsorted(records.ends, np.flatnonzero((signs > 127) | (signs == 0)), "right")
    suspects = set(owners[owners < len(records.ends)].tolist())
    bad = np.zeros(len(records.starts), bool)
    replaced: dict[int, bytes] = {}
    for index in sorted(suspects):
        if keep[index]:
            text = block[records.starts[index] : records.ends[index]]
            try:
                if 0 in text:
                    raise ValueError("NUL")
                replaced[index] = _record(text, encoding)
            except ValueError:
                bad[index] = True
    good = keep & ~bad
    if all(block[records.starts[i] : records.ends[i]] == text for i, text in replaced.items()):
        return Decoded(_only(block, records, good), bad)
    pieces = (
        replaced.get(i, block[records.starts[i] : records.ends[i]])
        for i in np.flatnonzero(good).tolist()
    )
    return Decoded(b"".join(pieces), bad)


def _record(text: bytes, encoding: str) -> bytes:
    try:
        return _transcoded(text, encoding)
    except UnicodeDecodeError:
        if encoding != "auto":
            raise
        return text.decode(FALLBACK).encode("utf-8")


def _only(block: bytes, records: Records, keep: NDArray[np.bool_]) -> bytes:
    """The records that `keep` says, without the others between them."""
    signs = np.frombuffer(block, np.uint8)[: records.rest]
    wanted = np.repeat(keep, records.ends - records.starts)
    return signs[wanted].tobytes()
