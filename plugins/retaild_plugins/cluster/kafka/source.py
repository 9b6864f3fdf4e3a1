"""Messages in, batches of events out. The host keeps the offsets, Kafka nothing.

After a crash the messages behind the last durable position are read again; their events have the
ids they had, so that the lake keeps each once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from retaild.api import BuildContext, Position, SourceBatch, TransientError
from retaild.api.kafka import client_settings
from retaild.events import DeadLetter, Event, arrow_schema
from retaild.events.codec import to_table
from retaild.events.ids import event_id
from retaild_plugins.cluster.kafka.client import reading_client
from retaild_plugins.cluster.kafka.message import MAX_EVENTS, MessageError, MessageReader
from retaild_plugins.cluster.kafka.source_config import KafkaSourceConfig

#: A batch ends with the message that reaches this: the contract allows 65,536 events.
_FULL = 50_000
assert _FULL + MAX_EVENTS <= 65_536
#: Seconds for an answer; for messages that are known to be there; between looks for partitions.
_ANSWER, _ARRIVE, _LOOK = 5.0, 5.0, 60.0


class TopicAwayError(TransientError):
    key = "source.kafka"

    def __init__(self, topic: str, servers: str, reason: str) -> None:
        super().__init__(
            f"The topic {topic} at {servers} cannot be read now: {reason.rstrip('.')}.",
            hint="It is tried again; nothing is lost as long as Kafka keeps it.",
        )


@dataclass
class _Draft:
    """A batch of one family in the making."""

    events: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class KafkaSource:
    """A Source that is Checkable and Replayable."""

    def __init__(self, config: KafkaSourceConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._reader = MessageReader(config, context)
        self._consumer: Consumer | None = None
        #: Partition -> what comes next, and the end that is known.
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._done = 0
        self._durable: Position = {}
        self._messages: deque[Any] = deque()
        self._ready: deque[SourceBatch] = deque()
        self._looked = 0.0

    def open(self, position: Position | None) -> None:
        """Raises TopicAwayError."""
        told = position or {}
        self._next = {int(number): int(at) for number, at in told.get("offsets", {}).items()}
        self._done = int(told.get("messages", 0))
        self._durable = told
        self._messages.clear()
        self._ready.clear()
        self._consumer = self._client()
        self._assign(OFFSET_BEGINNING if self._config.start == "earliest" else OFFSET_END)

    def _client(self) -> Consumer:
        client = client_settings(self._config, self._context.services_dir)
        # What retention removed before it was read is gone: go on with what is left.
        more = {"auto.offset.reset": "earliest", "fetch.wait.max.ms": 100}
        return reading_client(self._config.bootstrap_servers, client, more)

    def _assign(self, start: int) -> None:
        """Read all partitions, new ones from `start`."""
        assert self._consumer is not None
        try:
            for number in self._partitions(self._consumer):
                where = TopicPartition(self._config.topic, number)
                low, high = self._consumer.get_watermark_offsets(where, timeout=_ANSWER)
                self._ends[number] = high
                self._next.setdefault(number, low if start == OFFSET_BEGINNING else high)
            self._consumer.assign(
                [TopicPartition(self._config.topic, n, at) for n, at in self._next.items()]
            )
        except KafkaException as error:
            raise self._away(error.args[0].str()) from error
        self._looked = time.monotonic()

    def _partitions(self, consumer: Consumer) -> list[int]:
        found = consumer.list_topics(self._config.topic, timeout=_ANSWER)
        topic = found.topics[self._config.topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def _away(self, reason: str) -> TopicAwayError:
        return TopicAwayError(self._config.topic, self._config.bootstrap_servers, reason)

    def poll(self) -> SourceBatch | None:
        """Raises TopicAwayError once the broker says what is wrong for good."""
        if not self._ready:
            self._fetch()
            self._ready.extend(self._batches())
        return self._ready.popleft() if self._ready else None

    def _fetch(self) -> None:
        assert self._consumer is not None, "the source is not open"
        if self._messages:
            return
        if time.monotonic() - self._looked > _LOOK:
            self._look_for_partitions(self._consumer)
        until = time.monotonic() + _ARRIVE
        while not self._messages:
            for message in self._consumer.consume(self._config.batch_messages, 0):
                self._take_in(message)
            behind = any(self._next[n] < end for n, end in self._ends.items())
            if self._messages or not behind or time.monotonic() > until:
                return
            time.sleep(0.005)

    def _look_for_partitions(self, consumer: Consumer) -> None:
        """A topic may get more of them: those are read from their beginning."""
        self._looked = time.monotonic()
        try:
            found = self._partitions(consumer)
        except KafkaException:
            return  # away for now; what is assigned goes on by itself
        if set(found) - set(self._next):
            self._assign(OFFSET_BEGINNING)

    def _take_in(self, message: Any) -> None:
        error = message.error()
        if error is None:
            self._messages.append(message)
        elif not error.retriable():
            raise self._away(error.str())

    def _batches(self) -> list[SourceBatch]:
        """One for each family. The last alone moves the position: the others go before it."""
        drafts: dict[str, _Draft] = {}
        count = 0
        while self._messages and count < _FULL:
            count += self._read(self._messages.popleft(), drafts)
        batches = [self._finished(name, draft, self._durable) for name, draft in drafts.items()]
        if batches:
            offsets = {str(number): at for number, at in self._next.items()}
            self._durable = {"offsets": offsets, "messages": self._done}
            name, draft = list(drafts.items())[-1]
            batches[-1] = self._finished(name, draft, self._durable)
        return batches

    def _read(self, message: Any, drafts: dict[str, _Draft]) -> int:
        """Events of a message into the drafts; how many came of it."""
        self._next[message.partition()] = message.offset() + 1
        self._done += 1
        at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        raw = message.value() or b""
        try:
            events = self._reader.events(raw, at)
        except MessageError as error:
            place = f"{message.topic()}[{message.partition()}] @{message.offset()}"
            draft = drafts.setdefault(error.family or self._fallback, _Draft())
            draft.letters.append(self._letter(place, raw, at, error))
            return 1
        for event in events:
            drafts.setdefault(event.family, _Draft()).events.append(event)
        return len(events)

    @property
    def _fallback(self) -> str:
        """The family of what says none."""
        return self._config.lines.family if self._config.lines else "sale"

    def _finished(self, family: str, draft: _Draft, position: Position) -> SourceBatch:
        nothing = arrow_schema(family).empty_table()
        return SourceBatch(
            family=family,
            events=to_table(draft.events) if draft.events else nothing,
            position=position,
            dead_letters=tuple(draft.letters),
            done=self._done,
            label=self._config.topic,
        )

    def _letter(self, place: str, raw: bytes, at: datetime, error: MessageError) -> DeadLetter:
        source = self._context.instance
        return DeadLetter(
            event_id=event_id("dead_letter", {"source": source, "place": place, "raw": raw}),
            event_time=at,
            source=source,
            store=self._context.store,
            target=error.family or self._fallback,
            place=place,
            reason_key=error.key,
            reason=str(error)[:2000],
            raw=raw,
            format="kafka",
        )

    def parse(self, dead_letter: DeadLetter) -> SourceBatch:
        """The events of a refused message under the settings of now, if of one family."""
        try:
            events: Sequence[Event] = self._reader.events(dead_letter.raw, dead_letter.event_time)
            families = {event.family for event in events}
            if len(families) > 1:
                raise MessageError("families", "It holds events of several families.")
        except MessageError as error:
            renewed = {"reason_key": error.key, "reason": str(error)[:2000]}
            refused = dead_letter.model_copy(update=renewed)
            return self._finished(self._fallback, _Draft(letters=[refused]), {})
        return self._finished(families.pop(), _Draft(events=list(events)), {})

    def check(self) -> None:
        """Raises TopicAwayError."""
        consumer = self._client()
        try:
            self._partitions(consumer)
        except KafkaException as error:
            raise self._away(error.args[0].str()) from error
        finally:
            consumer.close()

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._messages.clear()
        self._ready.clear()
