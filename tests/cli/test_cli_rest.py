"""The small REST client, against a server of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from retaild.cli import exits
from retaild.cli.rest_client import ProblemError, UnreachableError, call, segment

SEEN: list[tuple[str, str, bytes]] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        SEEN.append((self.command, self.path, body))
        status = 404 if "gone" in self.path else 503 if "busy" in self.path else 200
        problem = {"type": "customer.unknown", "detail": "There is no customer.", "hint": "Search."}
        content = json.dumps({"ok": True} if status == 200 else problem).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    SEEN.clear()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_requests_are_written_as_agreed(url: str) -> None:
    assert call(
        {"url": url},
        "secret",
        "GET",
        f"/customers/{segment('a/b ?')}",
        None,
        {"count": 3, "q": None},
    ) == {"ok": True}
    assert call({"url": url}, "secret", "POST", "/recommendations/basket", {"items": []}, {}) == {
        "ok": True
    }
    assert SEEN == [
        ("GET", "/api/v1/customers/a%2Fb%20%3F?count=3", b""),
        ("POST", "/api/v1/recommendations/basket", b'{"items": []}'),
    ]


def test_problems_speak_for_themselves(url: str) -> None:
    with pytest.raises(ProblemError, match="There is no customer") as raised:
        call({"url": url}, "secret", "GET", "/gone", None, {})
    assert raised.value.key == "customer.unknown"
    assert exits.exit_code(raised.value) == exits.NOT_FOUND
    with pytest.raises(ProblemError) as raised:
        call({"url": url}, "secret", "GET", "/busy", None, {})
    assert exits.exit_code(raised.value) == exits.BUSY


def test_nobody_there() -> None:
    with pytest.raises(UnreachableError, match="refused") as raised:
        call({"url": "http://127.0.0.1:9"}, "secret", "GET", "/x", None, {})
    assert exits.exit_code(raised.value) == exits.NOT_RUNNING
