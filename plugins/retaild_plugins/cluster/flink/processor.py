"""The stream processor: Flink reads, decodes, checks and computes windows; this side carries that
into the lake, and mends the windows that Flink cannot know all rows of."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from retaild.api import BuildContext, Bus, ConfigError, StreamProgress, TransientError
from retaild.api.bus import TopicBacked
from retaild.pipeline.carry.carrier import Carrier, Piece
from retaild.pipeline.carry.given import WindowCounts
from retaild_plugins.cluster.flink.config import FlinkStreamConfig
from retaild_plugins.cluster.flink.rest import FlinkRest
from retaild_plugins.cluster.flink.runner import Run, Runner, Submission
from retaild_plugins.cluster.flink.sql_text import NotLoweredError
from retaild_plugins.cluster.flink.staging import GapError, Staging
from retaild_plugins.cluster.flink.windows import flink_windows

_log = logging.getLogger(__name__)

#: Flink is asked so often (seconds) whether the job goes on, while nothing comes.
_ASK_SECONDS = 2.0
#: A step that finds nothing although the log holds more waits so long for Flink.
_WAIT_SECONDS = 0.02
#: How many windows were Flink's is told so often (seconds) at most.
_TELL_SECONDS = 60.0


class NoTopicError(ConfigError):
    key = "flink.no_topic"

    def __init__(self) -> None:
        super().__init__(
            "Flink reads the log itself, and this log is not on Kafka.",
            hint='Set [bus] plugin = "kafka", or [stream] plugin = "embedded".',
        )


class NotLoweredConfigError(ConfigError):
    key = "flink.not_lowered"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Flink cannot compute {reason}.",
            hint='Set [stream] plugin = "embedded", which can.',
        )


class FlinkProcessor:
    """Exactly once: Flink's checkpoints finish files with each entry once, and the lake commits
    the log offset it has got to together with the rows. The offset is the only truth: whatever is
    lost of Flink, of its job or of the files is read again from there.

    A window has Flink's value where that is of the very rows that silver has of it, and is computed
    from the tables otherwise.
    """

    def __init__(self, config: FlinkStreamConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._carrier = Carrier(context, config.batch_rows, given=True)
        self._rest = FlinkRest(config.url)
        self._bus: Bus | None = None
        self._runner: Runner | None = None
        self._staging: Staging | None = None
        self._run: Run | None = None
        self._submission: Submission | None = None
        self._done = StreamProgress(0, 0)
        self._asked = self._told_at = 0.0
        self._told = WindowCounts()

    def open(self, bus: Bus) -> StreamProgress:
        """Flink may be away: `step` says so, and goes on when it is there.

        Raises NoTopicError, NotLoweredConfigError.
        """
        if not isinstance(bus, TopicBacked):
            raise NoTopicError
        try:
            flink_windows()
        except NotLoweredError as error:
            raise NotLoweredConfigError(str(error)) from error
        self._bus = bus
        self._runner = Runner(self._config, self._context, self._rest, bus.topic())
        self._done = self._carrier.open(bus)
        with suppress(TransientError):
            self._find_job()
        return self._done

    def step(self) -> StreamProgress:
        """Raises FlinkAwayError, SubmitError, LakeWriteError."""
        self._find_job()
        progress = self._carrier.step(self._read)
        if self._staging is not None:
            self._staging.forget(progress.offset)
        self._done = progress
        self._tell_windows()
        return progress

    def close(self) -> None:
        """Ends the job: nobody would take what it writes. A killed worker's goes on."""
        if self._submission is not None:
            self._submission.abandon()
        if self._runner is not None:
            with suppress(TransientError):
                self._runner.end()
        self._rest.close()
        self._carrier.close()
        self._bus = self._runner = self._staging = self._run = self._submission = None

    @property
    def job(self) -> str | None:
        """Flink's id of the job that carries now."""
        return self._run.job if self._run is not None else None

    @property
    def windows(self) -> WindowCounts:
        """Windows written since `open`: `given` by Flink, and `computed` from the tables."""
        return self._carrier.window_counts()

    def _tell_windows(self) -> None:
        now = time.monotonic()
        counts = self.windows
        if counts == self._told or now - self._told_at < _TELL_SECONDS:
            return
        given, mended = counts.given - self._told.given, counts.computed - self._told.computed
        _log.info("windows written: %d with Flink's value, %d from the tables", given, mended)
        self._told, self._told_at = counts, now

    def _find_job(self) -> None:
        """Look after the job that runs; without one, find it or hand one in."""
        assert self._runner is not None, "the stream processor is not open"
        if self._submission is not None:
            self._receive(self._submission)
        elif self._run is None:
            run = self._runner.running()
            if run is not None:
                self._take(run)
            else:
                self._hand_in()
        elif time.monotonic() - self._asked >= _ASK_SECONDS:
            self._asked = time.monotonic()
            why = self._runner.ended(self._run)
            if why is not None:
                _log.warning("the Flink job ended (%s); it is handed in again", why)
                self._hand_in()

    def _hand_in(self) -> None:
        """A new job, from the lake's offset on."""
        assert self._runner is not None
        self._run = self._staging = None
        self._submission = self._runner.start(self._done.offset)

    def _receive(self, submission: Submission) -> None:
        try:
            run = submission.result()
        except TransientError:
            self._submission = None
            raise
        if run is not None:
            self._submission = None
            self._take(run)

    def _take(self, run: Run) -> None:
        self._run, self._staging = run, Staging(run.folder, run.start)

    def _read(self, offset: int) -> Piece | None:
        assert self._bus is not None
        piece = self._staged(offset)
        if piece is None and self._bus.end().offset > offset:
            time.sleep(_WAIT_SECONDS)
        return piece

    def _staged(self, offset: int) -> Piece | None:
        if self._staging is None:
            return None
        try:
            return self._staging.take(offset, self._config.batch_rows)
        except GapError as error:
            _log.warning("%s; Flink reads the log again", error)
            self._hand_in()
            return None
