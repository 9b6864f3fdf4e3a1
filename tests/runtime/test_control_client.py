"""The control client against a daemon that misbehaves."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.control import (
    NoAnswerError,
    NotRunningError,
    RefusedError,
    is_running,
    request,
)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """A directory with a path longer than a socket's address may be."""
    directory = DataDir(tmp_path / ("long" * 30))
    directory.create()
    return directory


def answering(data: DataDir, answer: bytes | None) -> threading.Thread:
    import os

    descriptor = os.open(data.run, os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/self/fd/{descriptor}/{data.socket.name}")
    os.close(descriptor)
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        if answer is not None:
            connection.sendall(answer)
            connection.close()
        else:
            connection.recv(1)  # until the client has lost patience
            connection.close()
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_nobody_there(data: DataDir) -> None:
    with pytest.raises(NotRunningError, match="No retaild is running"):
        request(data, "status")
    assert not is_running(data)
    assert not is_running(DataDir(data.root / "none"))


def test_an_answer(data: DataDir) -> None:
    thread = answering(data, b'{"pid": 5}\n')
    assert request(data, "ping") == {"pid": 5}
    thread.join()


@pytest.mark.parametrize("answer", [b"", b"half an ans", b"no json\n"])
def test_a_broken_answer(data: DataDir, answer: bytes) -> None:
    thread = answering(data, answer)
    with pytest.raises(NoAnswerError):
        request(data, "ping")
    thread.join()


def test_no_answer_in_time(data: DataDir) -> None:
    thread = answering(data, None)
    with pytest.raises(NoAnswerError, match="timed out"):
        request(data, "ping", timeout=0.2)
    thread.join()


def test_a_refusal_in_the_daemons_words(data: DataDir) -> None:
    thread = answering(
        data, b'{"error": {"key": "job.busy", "message": "Busy.", "hint": "Wait.", "run_id": 4}}\n'
    )
    with pytest.raises(RefusedError, match="Busy") as raised:
        request(data, "run-job", job="x")
    assert (raised.value.key, raised.value.details["run_id"]) == ("job.busy", 4)
    thread.join()
