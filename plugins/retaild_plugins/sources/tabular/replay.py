"""Refused rows, read again from the bytes that were kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from retaild.api import BuildContext, SourceBatch
from retaild.events import DeadLetter, arrow_schema
from retaild.events.ids import content_ids, with_occurrences
from retaild_plugins.sources.tabular.chunk import Refused
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.delimited import DelimitedReader, JsonLinesReader, TextReader
from retaild_plugins.sources.tabular.faults import FileFaultError
from retaild_plugins.sources.tabular.letters import WHOLE_FILE, csv_form
from retaild_plugins.sources.tabular.mapping import RowMapping
from retaild_plugins.sources.tabular.occurrences import Occurrences
from retaild_plugins.sources.tabular.readers import check_columns

Parsed = tuple[list[pa.Table], list[DeadLetter]]


def parse_letters(
    config: TabularConfig, context: BuildContext, letters: Sequence[DeadLetter]
) -> SourceBatch:
    """Events of all letters that can be read now; the others, with the reason of now."""
    tables = [arrow_schema(config.family).empty_table()]
    refused: list[DeadLetter] = []
    for form, group in groupby(letters, key=lambda letter: letter.format):
        batch = list(group)
        if form == WHOLE_FILE:
            refused += batch
            continue
        parsed = _together(config, context, batch)
        if parsed is None:
            parsed = [], []
            for letter in batch:
                one = _together(config, context, [letter], single=True)
                assert one is not None
                parsed = parsed[0] + one[0], parsed[1] + one[1]
        tables += parsed[0]
        refused += parsed[1]
    events = pa.concat_tables(tables).combine_chunks()
    ids = content_ids(config.family, events)
    ids = with_occurrences(ids, Occurrences(context.state_dir).count(ids))
    events = events.set_column(0, events.schema.field(0), ids)
    return SourceBatch(config.family, events, {}, tuple(refused))


def _together(
    config: TabularConfig, context: BuildContext, letters: list[DeadLetter], single: bool = False
) -> Parsed | None:
    """Letters of one form as one input; None if their rows cannot be told apart in it.

    A `single` letter may hold several rows (lines that a stray quotation mark had joined); it
    stays refused as a whole if one of them is.
    """
    try:
        reader, mapping = _reader(config, context, letters)
        tables: list[pa.Table] = []
        failed: list[Refused] = []
        count = 0
        while (chunk := reader.next_chunk()) is not None:
            table, _, refused = mapping.apply(chunk)
            tables.append(table)
            failed += refused
            count += chunk.count
    except FileFaultError as fault:
        return [], [_renewed(letter, fault.key, str(fault)) for letter in letters]
    if single:
        if failed or count == 0:
            key = failed[0].key if failed else letters[0].reason_key
            why = failed[0].reason if failed else letters[0].reason
            return [], [_renewed(letters[0], key, why)]
        return tables, []
    if count != len(letters) or any(item.key == "row.quotes" for item in failed):
        return None
    return tables, [_renewed(letters[item.row - 1], item.key, item.reason) for item in failed]


def _reader(
    config: TabularConfig, context: BuildContext, letters: list[DeadLetter]
) -> tuple[TextReader, RowMapping]:
    form = csv_form(letters[0])
    typed = letters[0].format == "json typed"
    mapping = RowMapping(config, context, typed=typed)
    how: dict[str, Any] = {"skip_lines": 0, "follow": False}
    if form is None:
        how["encoding"] = "utf-8" if typed else config.encoding
    else:
        how |= {"fields": tuple(form.get("columns", config.fields))}
        how |= {name: form[name] for name in ("encoding", "delimiter") if name in form}
    config = config.model_copy(update=how)
    newline = "\n".encode(config.encoding) if config.encoding.startswith("utf-16-") else b"\n"
    text = newline.join(letter.raw for letter in letters) + newline
    file, name = io.BytesIO(text), letters[0].place
    if form is None:
        reader: TextReader = JsonLinesReader(file, name, len(text), config, mapping.needed(None))
    else:
        reader = DelimitedReader(file, name, len(text), config, tabs=config.format == "tsv")
        reader.prepare()
        check_columns(reader, mapping, name)
    return reader, mapping


def _renewed(letter: DeadLetter, key: str, reason: str) -> DeadLetter:
    text = f"{letter.place}: {reason}" if not reason.startswith(letter.place) else reason
    return letter.model_copy(update={"reason_key": key, "reason": text[:2000]})
