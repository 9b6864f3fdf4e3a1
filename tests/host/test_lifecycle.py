"""Opening by policy, closing always."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from retaild.host import lifecycle
from retaild.host.lifecycle import closing_always, open_by_policy


class Flaky:
    def __init__(self, failures: int) -> None:
        self.failures, self.opened, self.closed = failures, 0, 0

    def open(self) -> None:
        self.opened += 1
        if self.opened <= self.failures:
            raise OSError("not yet")

    def close(self) -> None:
        self.closed += 1
        raise RuntimeError("closing fails, too")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "RETRY_PAUSES", (0.001,))


@pytest.fixture
def open_it() -> Callable[..., bool]:
    def call(
        flaky: Flaky, startup: str, stop: threading.Event | None = None, **more: object
    ) -> bool:
        return open_by_policy(
            "it",
            flaky,
            flaky.open,
            startup,
            stop or threading.Event(),
            **more,  # type: ignore[arg-type]
        )

    return call


def test_retry_until_it_works_closing_after_every_failure(open_it: Callable[..., bool]) -> None:
    flaky, heard = Flaky(failures=3), []
    assert open_it(flaky, "retry", on_error=lambda error: heard.append(str(error)))
    assert (flaky.opened, flaky.closed) == (4, 3)
    assert heard == ["not yet"] * 3


def test_error_raises_what_went_wrong(open_it: Callable[..., bool]) -> None:
    flaky = Flaky(failures=1)
    with pytest.raises(OSError, match="not yet"):
        open_it(flaky, "error")
    assert flaky.closed == 1


def test_ignore_goes_on_without_it(open_it: Callable[..., bool]) -> None:
    assert not open_it(Flaky(failures=1), "ignore")


def test_a_stop_ends_the_retries(open_it: Callable[..., bool]) -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    assert not open_it(Flaky(failures=1_000_000), "retry", stop)


def test_closed_whatever_happens() -> None:
    flaky = Flaky(failures=1)
    with pytest.raises(OSError, match="not yet"), closing_always(flaky):
        flaky.open()
    assert flaky.closed == 1
