"""Messages in, batches of events out; a message is acknowledged when its events are durable.

A message that was acknowledged too late is sent again: after a crash, or when the broker restarts.
The position names the messages that were taken but perhaps not acknowledged, so that `open` leaves
those out; should one slip through all the same, its events have the ids they had.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from paho.mqtt.client import MQTTMessage
from retaild.api import BuildContext, Position, SourceBatch
from retaild.events import DeadLetter, Event, arrow_schema
from retaild.events.codec import to_table
from retaild.events.ids import event_id

from retaild_mqtt.broker import Broker
from retaild_mqtt.config import MqttConfig
from retaild_mqtt.errors import MessageError
from retaild_mqtt.mapping import MAX_ITEMS, Mapper, matches

#: A batch ends after the message that reaches this: the contract allows 65,536 events.
_FULL = 50_000


@dataclass
class _Taken:
    """A message that is on its way to the disk; `packets`: what to acknowledge."""

    packets: list[int]
    batch: int = 0
    durable: bool = False


@dataclass
class _Draft:
    """A batch of one family in the making."""

    family: str
    digests: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class MqttSource:
    """A Source that is Confirmable, Checkable and Replayable."""

    def __init__(self, config: MqttConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._mappers = [Mapper(route, context) for route in config.routes]
        self._session = config.client_id or f"retaild-{context.store}-{context.instance}"
        self._broker = Broker(config, self._session)
        self._batch = self._done = 0
        self._known: set[str] = set()
        self._taken: OrderedDict[str, _Taken] = OrderedDict()
        self._ready: deque[SourceBatch] = deque()

    def open(self, position: Position | None) -> None:
        """Raises BrokerAwayError (the host tries again), BrokerRefusedError."""
        told = position or {}
        self._batch, self._done = int(told.get("batch", 0)), int(told.get("messages", 0))
        self._known = set(told.get("unconfirmed", ()))
        self._broker.connect(before=told.get("topics", ()))

    def poll(self) -> SourceBatch | None:
        """Raises BrokerAwayError once the connection is lost."""
        if not self._ready:
            self._ready.extend(self._batches(self._broker.read(self._config.batch_messages)))
        return self._ready.popleft() if self._ready else None

    def confirmed(self, position: Position) -> None:
        """Acknowledges, in the order in which the messages came (MQTT 5.0, 4.6)."""
        for taken in self._taken.values():
            taken.durable = taken.durable or taken.batch <= int(position["batch"])
        while self._taken:
            digest, first = next(iter(self._taken.items()))
            if not first.durable:
                return
            del self._taken[digest]
            for packet in first.packets:
                self._broker.acknowledge(packet)

    def check(self) -> None:
        """Connects under another name, so that the session at work is left alone."""
        trial = Broker(self._config, f"{self._session}-check")
        try:
            trial.connect(subscribe=False)
        finally:
            trial.close()

    def close(self) -> None:
        self._broker.close()
        self._taken.clear()
        self._ready.clear()

    def parse(self, dead_letter: DeadLetter) -> SourceBatch:
        """The events of a refused message under the settings of now."""
        topic = dead_letter.place.rpartition(" ")[0]
        draft = _Draft(dead_letter.target)
        mapper = self._mapper(topic)
        try:
            if mapper is None:
                raise MessageError("topic", "No route is for its topic.")
            draft = _Draft(mapper.route.family, events=mapper.events(topic, dead_letter.raw))
        except MessageError as error:
            renewed = {"reason_key": error.key, "reason": str(error)[:2000]}
            draft.letters.append(dead_letter.model_copy(update=renewed))
        return self._finished(draft, {})

    def _batches(self, messages: Iterable[MQTTMessage]) -> list[SourceBatch]:
        """One batch for each family among the messages, and more if they are large."""
        drafts: dict[str, _Draft] = {}
        finished: list[_Draft] = []
        for message in messages:
            digest = self._new(message)
            if digest is None:
                continue
            mapper = self._mapper(message.topic)
            name = (mapper or self._mappers[0]).route.family
            draft = drafts.setdefault(name, _Draft(name))
            draft.digests.append(digest)
            self._read(message, mapper, draft, digest)
            if len(draft.events) >= _FULL:
                finished.append(drafts.pop(name))
        return [self._numbered(draft) for draft in (*finished, *drafts.values())]

    def _new(self, message: MQTTMessage) -> str | None:
        """The message's digest, or None if it was taken before."""
        digest = _digest(message.topic, bytes(message.payload))
        if message.qos == 0:
            return digest
        taken = self._taken.get(digest)
        if taken is not None:
            taken.packets.append(message.mid)
            return None
        if message.dup and digest in self._known:
            # Durable before this process began; only its acknowledgement was lost.
            self._known.discard(digest)
            self._broker.acknowledge(message.mid)
            return None
        self._taken[digest] = _Taken([message.mid])
        return digest

    def _read(
        self, message: MQTTMessage, mapper: Mapper | None, draft: _Draft, digest: str
    ) -> None:
        try:
            if mapper is None:  # left over from a subscription that is no more
                raise MessageError("topic", "No route is for its topic.")
            if len(message.payload) > self._config.max_payload_bytes:
                limit = self._config.max_payload_bytes
                raise MessageError("size", f"It has more than {limit} bytes (max_payload_bytes).")
            draft.events += mapper.events(message.topic, bytes(message.payload))
        except MessageError as error:
            draft.letters.append(self._letter(message, draft.family, error, digest))

    def _mapper(self, topic: str) -> Mapper | None:
        return next((m for m in self._mappers if matches(m.route.topic, topic)), None)

    def _numbered(self, draft: _Draft) -> SourceBatch:
        self._batch += 1
        self._done += len(draft.digests)
        for digest in draft.digests:
            if digest in self._taken:
                self._taken[digest].batch = self._batch
        handed_out = [digest for digest, taken in self._taken.items() if taken.batch]
        position = {
            "batch": self._batch,
            "messages": self._done,
            "unconfirmed": handed_out,
            "topics": [route.topic for route in self._config.routes],
        }
        return self._finished(draft, position)

    def _finished(self, draft: _Draft, position: Position) -> SourceBatch:
        nothing = arrow_schema(draft.family).empty_table()
        return SourceBatch(
            family=draft.family,
            events=to_table(draft.events) if draft.events else nothing,
            position=position,
            dead_letters=tuple(draft.letters),
            done=self._done,
            label=self._broker.name,
        )

    def _letter(
        self, message: MQTTMessage, family: str, error: MessageError, digest: str
    ) -> DeadLetter:
        """A message states no time: the letter's is when it came."""
        place = f"{message.topic[:1900]} {digest}"
        raw = bytes(message.payload[: self._config.max_payload_bytes])
        source = self._context.instance
        return DeadLetter(
            event_id=event_id("dead_letter", {"source": source, "place": place, "raw": raw}),
            event_time=datetime.now(UTC),
            source=source,
            store=self._context.store,
            target=family,
            place=place,
            reason_key=error.key,
            reason=str(error)[:2000],
            raw=raw,
            format="json",
        )


def _digest(topic: str, payload: bytes) -> str:
    return hashlib.blake2b(topic.encode() + b"\0" + payload, digest_size=8).hexdigest()


assert _FULL + MAX_ITEMS <= 65_536
