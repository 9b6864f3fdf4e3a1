"""Each fuzz target with its seeds and some mutations of them; `make fuzz` feeds a million."""

from __future__ import annotations

import random

import pytest

from tests.hostile.fuzz import SHARES
from tests.hostile.targets import TARGETS

#: Slow targets (DuckDB or a file for each input) get fewer.
_COUNTS = {"numbers": 60, "moments": 60, "delimited": 100, "configuration": 100}
_PIECES = (b"\x00", b"\xff\xfe", b'"', b"\n", b"\r\n", b",", b"=", b"4111111111111111", b"1e999",
           b"\xf0\x9f\x98\x80", b"{}", b"[[", b"9" * 40)  # fmt: skip


def mutations(seeds: tuple[bytes, ...], count: int) -> list[bytes]:
    """The same ones each time."""
    chance = random.Random(20_241_124)
    found = list(seeds)
    for _ in range(count):
        data = bytearray(chance.choice(found[-50:] if chance.random() < 0.5 else seeds))
        for _ in range(chance.randint(1, 4)):
            _mutate(data, chance)
        found.append(bytes(data[:4096]))
    return found


def _mutate(data: bytearray, chance: random.Random) -> None:
    at = chance.randint(0, len(data))
    match chance.randint(0, 3):
        case 0:
            data[at:at] = chance.choice(_PIECES)
        case 1:
            del data[at : at + chance.randint(1, 8)]
        case 2:
            data[at:at] = data[at : at + chance.randint(1, 30)]
        case _:
            if at < len(data):
                data[at] = chance.randint(0, 255)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_hostile_bytes_do_no_harm(name: str) -> None:
    target = TARGETS[name]
    for data in mutations(target.seeds, _COUNTS.get(name, 400)):
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{name} breaks on {data!r}") from error


def test_every_target_has_its_share_of_the_long_run() -> None:
    assert set(SHARES) == set(TARGETS)
