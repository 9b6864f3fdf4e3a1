"""Where each receipt is between the folder and silver: what tells a backlog from a loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retaild_plugins.sources.tabular.position import Ledger

from retaild.config.paths import DataDir
from retaild.events.codec import decode_table
from retaild.pipeline.streams import carried_offset
from retaild.runtime.context import offline_context


@dataclass(frozen=True)
class Whereabouts:
    """`files`: receipt -> its file in the folder; `done`: files that the source says it has read;
    `log`: receipt -> offset of its entry; `carried`: the offset up to which the lake has the log.
    """

    files: Mapping[str, str]
    done: frozenset[str] = frozenset()
    log: Mapping[str, int] = field(default_factory=dict)
    carried: int = 0
    bronze: frozenset[str] = frozenset()
    silver: Counter[str] = field(default_factory=Counter)

    def of(self, receipt: str) -> str:
        if receipt in self.silver:
            return "in silver" if receipt in self.bronze else "in silver, bronze follows"
        if receipt in self.log:
            if self.log[receipt] >= self.carried:
                return "waiting in the log"
            other = "but bronze has it" if receipt in self.bronze else "nor bronze"
            return f"LOST between log and silver, {other}"
        if receipt not in self.files:
            return "LOST: not even in the folder"
        if self.files[receipt] in self.done:
            return "LOST between folder and log: its file counts as read"
        return "waiting in the folder"

    def explain(self, expected: Iterable[str]) -> str:
        """ "" if silver has each of them once and nothing else."""
        wanted = set(expected)
        odd = {receipt: self.of(receipt) for receipt in wanted if receipt not in self.silver}
        odd |= {r: f"in silver {n} times" for r, n in self.silver.items() if n > 1}
        odd |= {r: "in silver, but never written" for r in self.silver if r not in wanted}
        if not odd:
            return ""
        waiting = all(where.startswith("waiting") for where in odd.values())
        lines = [
            f"{count} {where}, such as {min(r for r in odd if odd[r] == where)}"
            for where, count in Counter(odd.values()).most_common()
        ]
        kind = "A backlog, nothing is lost" if waiting else "NOT only a backlog"
        return f"{kind} ({len(wanted)} were written): " + "; ".join(lines) + "."


def look(data: DataDir, config: Path, folders: Mapping[str, Path]) -> Whereabouts:
    """`folders`: source instance -> its folder.

    First what is claimed, then what is there: what moves on meanwhile looks like no loss.
    """
    context = offline_context(config)
    lake, state = context.lake(), context.state
    read = {instance: Ledger(state.source_position(instance)) for instance in folders}
    upto = carried_offset(lake)
    silver, bronze = _column(lake, "silver.sale"), _column(lake, "bronze.sale")
    with closing(context.bus()) as bus:
        bus.open()
        log = _in_log(bus)
    done, files = set[str](), dict[str, str]()
    for instance, folder in folders.items():
        for path in sorted(folder.glob("*.csv")):
            mark, name = read[instance].find(path.name), f"{instance}/{path.name}"
            if mark.done if mark else read[instance].has_forgotten(path.stat()):
                done.add(name)
            files |= {line.split(",")[0]: name for line in path.read_text().splitlines()[1:]}
    state.close()
    return Whereabouts(files, frozenset(done), log, upto, frozenset(bronze), Counter(silver))


def _column(lake: Any, table: str) -> list[str]:
    if not lake.exists(table):
        return []
    rows = lake.dataset(table).to_table(columns=["receipt_id"])
    found: list[str] = rows["receipt_id"].to_pylist()
    return found


def _in_log(bus: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    offset, end = 0, bus.end().offset
    while offset < end:
        for item in bus.read(offset):
            offset = item.offset + 1
            if item.entry.family == "sale":
                table = decode_table("sale", item.entry.codec, item.entry.payload)
                found |= dict.fromkeys(table["receipt_id"].to_pylist(), item.offset)
    return found
