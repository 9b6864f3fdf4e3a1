"""What every source must do. Subclass `SourceConformance`, give it a factory, run pytest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from retaild.api import Position, Source, SourceBatch
from retaild.events import DeadLetter, arrow_schema

#: Builds the source once more, over the same input and with the same settings; not opened.
SourceFactory = Callable[[], Source]

MAX_ROWS = 65_536
MAX_BATCHES = 10_000
#: A position is written after every batch and must not grow with the input.
MAX_POSITION_BYTES = 256 * 1024


def read_all(source: Source, position: Position | None = None) -> list[SourceBatch]:
    """Every batch there is now; the source is closed again."""
    batches = []
    try:
        source.open(position)
        while (batch := source.poll()) is not None:
            batches.append(batch)
            assert len(batches) < MAX_BATCHES, "the source goes on and on"
    finally:
        source.close()
    return batches


def events_of(batches: list[SourceBatch]) -> pa.Table:
    return pa.concat_tables([batch.events for batch in batches]).combine_chunks()


def letters_of(batches: list[SourceBatch]) -> list[DeadLetter]:
    return [letter for batch in batches for letter in batch.dead_letters]


def _told(batches: list[SourceBatch]) -> list[dict[str, Any]]:
    """Dead letters without their time: where the input states none it is when they were read."""
    return [letter.model_dump(exclude={"event_time"}) for letter in letters_of(batches)]


class SourceConformance:
    """Provide the fixtures `source_factory` and `input_rows` (at least one good, one bad)."""

    @pytest.fixture
    def source_factory(self) -> SourceFactory:
        raise NotImplementedError

    @pytest.fixture
    def input_rows(self) -> int:
        raise NotImplementedError

    def test_close_survives_without_open_and_twice(self, source_factory: SourceFactory) -> None:
        source = source_factory()
        source.close()
        source.close()

    def test_every_row_becomes_one_event_or_one_dead_letter(
        self, source_factory: SourceFactory, input_rows: int
    ) -> None:
        batches = read_all(source_factory())
        events, letters = events_of(batches).num_rows, len(letters_of(batches))
        assert events > 0
        assert letters > 0
        assert events + letters == input_rows

    def test_batches_have_the_contract_s_columns(self, source_factory: SourceFactory) -> None:
        for batch in read_all(source_factory()):
            assert batch.events.schema.equals(arrow_schema(batch.family))
            assert batch.events.num_rows <= MAX_ROWS

    def test_required_columns_hold_no_nulls(self, source_factory: SourceFactory) -> None:
        for batch in read_all(source_factory()):
            for field in batch.events.schema:
                assert field.nullable or batch.events.column(field.name).null_count == 0

    def test_ids_are_unique(self, source_factory: SourceFactory) -> None:
        batches = read_all(source_factory())
        ids = events_of(batches).column("event_id").to_pylist()
        ids += [letter.event_id for letter in letters_of(batches)]
        assert len(set(ids)) == len(ids)

    def test_reading_again_gives_the_same(self, source_factory: SourceFactory) -> None:
        first, second = read_all(source_factory()), read_all(source_factory())
        assert events_of(first).equals(events_of(second))
        assert _told(first) == _told(second)

    def test_positions_are_small_json(self, source_factory: SourceFactory) -> None:
        for batch in read_all(source_factory()):
            text = json.dumps(batch.position)
            assert json.loads(text) == batch.position
            assert len(text) <= MAX_POSITION_BYTES

    def test_goes_on_after_each_position(self, source_factory: SourceFactory) -> None:
        batches = read_all(source_factory())
        for count, batch in enumerate(batches, start=1):
            position = json.loads(json.dumps(batch.position))
            rest = read_all(source_factory(), position)
            again = [*batches[:count], *rest]
            assert events_of(again).equals(events_of(batches))
            assert _told(again) == _told(batches)

    def test_progress_counts_rows(self, source_factory: SourceFactory, input_rows: int) -> None:
        batches = read_all(source_factory())
        assert all(batch.done <= batch.total for batch in batches if batch.total)
        assert max(batch.done for batch in batches) <= input_rows

    def test_dead_letters_tell_where_and_why(self, source_factory: SourceFactory) -> None:
        for letter in letters_of(read_all(source_factory())):
            assert letter.place
            assert letter.reason_key
            assert letter.reason.endswith((".", "`."))
            assert letter.target

    def test_what_is_still_wrong_comes_back_from_a_replay(
        self, source_factory: SourceFactory
    ) -> None:
        source = source_factory()
        parse = getattr(source, "parse", None)
        if parse is None:
            pytest.skip("this source does not replay")
        letter = letters_of(read_all(source_factory()))[0]
        batch = parse(letter)
        assert batch.events.num_rows == 0
        assert [again.event_id for again in batch.dead_letters] == [letter.event_id]
