"""What the files say now: read and checked in a process of its own, then compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from retaild.api.errors import RetaildError
from retaild.config.active import Active, ActiveStore
from retaild.config.faults import Fault
from retaild.config.paths import DataDir
from retaild.config.settings import Settings, load_settings
from retaild.daemon.children import LOG, run_briefly
from retaild.runtime import candidate, logs
from retaild.runtime.candidate import Findings

#: Reading and checking may take so long: strangers' plugins are looked at.
CHECK_SECONDS = 120.0


class CheckFailedError(RetaildError):
    key = "reload.check_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The configuration could not be checked: {reason}.",
            hint=f"See `retaildctl logs {LOG}`.",
        )


@dataclass(frozen=True)
class Proposal:
    """A configuration as read; `settings` are None if `faults` has an error."""

    active: Active
    file: Path
    number: int
    findings: Findings
    settings: Settings | None
    extra: tuple[Fault, ...] = field(default=())

    @property
    def faults(self) -> list[Fault]:
        return [*self.findings.faults, *self.extra]

    @property
    def errors(self) -> list[Fault]:
        return [fault for fault in self.faults if fault.severity == "error"]


async def propose(
    config: Path | None, data: DataDir, store: ActiveStore, *, listening: bool
) -> Proposal:
    """Raises CheckFailedError. `listening`: the configured port is taken by right."""
    number = store.next_number()
    file, answer = store.file(number), store.file(number).with_suffix(".answer")
    file.parent.mkdir(exist_ok=True, mode=0o750)
    words = candidate.command(config, data.root, file, answer, listening=listening)
    try:
        code = await run_briefly(words, data, CHECK_SECONDS)
        if code != 0:
            raise CheckFailedError(_why(code, data))
        findings, active = Findings.read(answer), Active.read(file)
    except (OSError, ValueError) as error:
        store.discard(number)
        raise CheckFailedError(str(error)) from error
    except BaseException:
        store.discard(number)
        raise
    finally:
        answer.unlink(missing_ok=True)
    settings = None if findings.errors else load_settings(file, data.root)
    return Proposal(active, file, number, findings, settings)


def _why(code: int | None, data: DataDir) -> str:
    if code is None:
        return f"it took longer than {CHECK_SECONDS:g} s"
    words = logs.tail(data.worker_log(LOG), 1)
    return f"exit code {code}" + (f", {words[0]}" if words else "")


def unreloadable(
    old: Active, new: Active, before: Settings, after: Settings | None
) -> Iterable[Fault]:
    """Settings that only a restart can change. `after` is None if they have other faults."""
    if after is not None and before.bus.plugin != after.bus.plugin:
        change = f"from {before.bus.plugin!r} to {after.bus.plugin!r}"
        message = (
            f"bus.plugin cannot be changed by a reload, {change}: what waits in the log of the one "
            "is not in that of the other."
        )
        hint = (
            "Stop retaild: `retaildctl profile apply` carries what the log holds into the lake, "
            "and changes it."
        )
        yield new.document().fault(("bus", "plugin"), message, hint)
    if old.asked_data_dir != new.asked_data_dir:
        message = "retaild.data_dir cannot be changed by a reload."
        hint = "Stop retaild, move the directory, and start it again."
        yield new.document().fault(("retaild", "data_dir"), message, hint)
