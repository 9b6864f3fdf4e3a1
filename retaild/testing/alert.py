"""What every alert sink must do. Subclass `AlertSinkConformance`, give it a desk, run pytest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Protocol

import pytest

from retaild.api import Alert, AlertSink, Notification, RetaildError, TransientError

#: How a receiver behaves: takes everything; says that it is too busy; has a fault; says that the
#: message is wrong; takes the connection and never answers; is not there at all.
Mood = Literal["well", "busy", "broken", "refusing", "hanging", "gone"]
#: No call of a sink may take longer (seconds); tests set its time-out to a second or so.
LONGEST = 20.0


@dataclass(frozen=True, slots=True)
class Received:
    """A message as the receiver understood it."""

    action: str
    group: str
    #: All of its text, for people.
    text: str = ""


class AlertDesk(Protocol):
    """The receiver's side of a test: a real server, on loopback, that checks what it is sent."""

    received: list[Received]

    def become(self, mood: Mood) -> None:
        """Behave so from now on."""


def message(**changes: Any) -> Notification:
    """A notification as the host makes them."""
    alert = Alert(
        key="instance.source.tills.quarantined",
        severity="error",
        summary="Source tills is in quarantine.",
        source="instance",
        started=1_900_000_000.0,
        hint="See `retaildctl logs source.tills`.",
        details={"last error": "no such folder"},
    )
    plain = Notification(
        id="0f8fad5bd9cb469fa16570867728950e",
        group="retaild.main.instance.source.7.1900000000000",
        action="trigger",
        severity="error",
        summary=alert.summary,
        alerts=(alert,),
        store="main",
        url="https://shop.example/admin/alerts",
    )
    return replace(plain, **changes)


class AlertSinkConformance:
    """Provide the fixtures `desk` and `sink` (built with a time-out of about a second)."""

    #: A secret that the sink was configured with; it may stand in no error.
    secret = ""

    @pytest.fixture
    def desk(self) -> AlertDesk:
        raise NotImplementedError

    @pytest.fixture
    def sink(self, desk: AlertDesk) -> AlertSink:
        raise NotImplementedError

    def test_close_survives_without_open_and_twice(self, sink: AlertSink) -> None:
        sink.close()
        sink.close()

    def test_the_whole_life_of_a_message_arrives_under_one_group(
        self, sink: AlertSink, desk: AlertDesk
    ) -> None:
        sink.open()
        for action in ("trigger", "acknowledge", "resolve"):
            sink.send(message(action=action))
        sink.close()
        assert [received.action for received in desk.received] == [
            "trigger",
            "acknowledge",
            "resolve",
        ]
        assert {received.group for received in desk.received} == {message().group}
        assert "Source tills is in quarantine." in desk.received[0].text

    @pytest.mark.parametrize("severity", ["info", "warning", "error", "critical"])
    def test_every_severity_arrives(self, sink: AlertSink, desk: AlertDesk, severity: Any) -> None:
        sink.open()
        sink.send(message(severity=severity))
        assert len(desk.received) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "Umlaute äöü, 価格, 🔥",
            "two\nlines\r\nBcc: all@shop.example",
            "x" * 20_000,
            "\x00\x1b[31m",
        ],
        ids=["unicode", "lines", "long", "control"],
    )
    def test_any_text_arrives(self, sink: AlertSink, desk: AlertDesk, text: str) -> None:
        alert = replace(message().alerts[0], summary=text, hint=text, details={"fact": text})
        sink.open()
        sink.send(message(summary=text, alerts=(alert,)))
        assert len(desk.received) == 1
        assert desk.received[0].group == message().group

    def test_many_alerts_in_one_message_arrive(self, sink: AlertSink, desk: AlertDesk) -> None:
        wordy = replace(message().alerts[0], summary="s" * 5000, details={"fact": "ö" * 9000})
        alerts = tuple(replace(wordy, key=f"job.number{number}.failed") for number in range(50))
        sink.open()
        sink.send(message(alerts=alerts))
        assert len(desk.received) == 1

    @pytest.mark.parametrize("mood", ["busy", "broken", "gone", "hanging"])
    def test_what_may_work_later_is_said_to_be_so_and_works_then(
        self, sink: AlertSink, desk: AlertDesk, mood: Mood
    ) -> None:
        sink.open()
        desk.become(mood)
        began = time.monotonic()
        with pytest.raises(TransientError) as failed:
            sink.send(message())
        assert time.monotonic() - began < LONGEST
        assert not self.secret or self.secret not in str(failed.value)
        desk.become("well")
        sink.send(message())
        assert [received.action for received in desk.received] == ["trigger"]

    def test_what_is_refused_for_good_is_said_to_be_so(
        self, sink: AlertSink, desk: AlertDesk
    ) -> None:
        sink.open()
        desk.become("refusing")
        with pytest.raises(RetaildError) as failed:
            sink.send(message())
        assert not isinstance(failed.value, TransientError)
        assert not self.secret or self.secret not in str(failed.value)

    def test_the_same_message_twice_is_one_to_the_receiver(
        self, sink: AlertSink, desk: AlertDesk
    ) -> None:
        sink.open()
        sink.send(message())
        sink.send(message())
        assert len({received.group for received in desk.received}) == 1


# -- for sinks that speak HTTP ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class HttpDesk:
    """A real HTTP server on a free port of loopback. `answer` is asked while it is well.

    `refusal` is its answer while it is refusing. `stop()` when the test is over.
    """

    answer: Callable[[Request], Response]
    refusal: Response = Response(400, b"no")
    received: list[Received] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    mood: Mood = "well"
    port: int = 0
    _server: ThreadingHTTPServer | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def become(self, mood: Mood) -> None:
        if mood == "gone" and self._server is not None:
            self._shut()
        if mood != "gone" and self._server is None:
            self._start()
        self.mood = mood

    def respond(self, request: Request) -> Response | None:
        """None: never."""
        self.requests.append(request)
        if self.mood == "hanging":
            self._over.wait(LONGEST)
            return None
        moods = {"busy": Response(429), "broken": Response(503), "refusing": self.refusal}
        return moods.get(self.mood) or self.answer(request)

    def _start(self) -> None:
        self._over.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _shut(self) -> None:
        self._over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def stop(self) -> None:
        self._shut()


def _handler(desk: HttpDesk) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            named = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, named, self.rfile.read(length))
            response = desk.respond(request)
            if response is None:
                self.close_connection = True
                return
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    return Handler
