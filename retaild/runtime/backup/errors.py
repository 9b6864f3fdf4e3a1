"""What can go wrong with a backup, in words."""

from __future__ import annotations

from pathlib import Path

from retaild.api.errors import RetaildError, TransientError


class BackupRunningError(TransientError):
    key = "backup.running"

    def __init__(self, holder: str) -> None:
        who = f" (process {holder})" if holder else ""
        super().__init__(f"Another backup is being made{who}.", hint="Wait until it has finished.")


class NoDestinationError(RetaildError):
    key = "backup.no_destination"

    def __init__(self) -> None:
        super().__init__(
            "Nobody said where the backup shall go.",
            hint="Name a directory or an archive (`retaildctl backup create DEST`), or set "
            "`directory` in [backup].",
        )


class InsideDataError(RetaildError):
    key = "backup.inside_data"

    def __init__(self, place: Path, root: Path) -> None:
        super().__init__(
            f"{place} lies in the data directory {root} itself.",
            hint="Choose a place outside, best on another disk.",
        )


class HalfRestoredError(RetaildError):
    key = "backup.half_restored"

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"A backup is being restored into {root}, or that was broken off: its data is not "
            "whole.",
            hint="If no `retaildctl backup restore` is under way, empty the directory "
            f"({root}, .restoring in it too) and restore the backup again.",
        )


class NoRoomError(RetaildError):
    key = "backup.no_room"

    def __init__(self, place: Path, needed: int, free: int) -> None:
        super().__init__(
            f"There is not enough room at {place}: {needed:,} bytes are needed, {free:,} are free.",
            hint="Free some space, remove old backups, or choose another disk.",
        )


class PlaceFailedError(RetaildError):
    key = "backup.place_failed"

    def __init__(self, place: Path, reason: str) -> None:
        super().__init__(
            f"The backup could not be written to {place}: {reason}. What was begun is removed.",
            hint="Look after that disk, then start the backup again; nothing else was touched.",
        )


class UnreadableDataError(RetaildError):
    key = "backup.unreadable_data"

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            f"{file} cannot be read: {reason}. There is no backup without it.",
            hint="`retaildctl doctor` says what is wrong; earlier backups are untouched.",
        )


class ExistsError(RetaildError):
    key = "backup.exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already.", hint="Choose another name.")


class NotABackupError(RetaildError):
    key = "backup.not_found"

    def __init__(self, path: Path, reason: str = "it has no manifest") -> None:
        super().__init__(
            f"{path} is not a finished backup: {reason}.",
            hint="`retaildctl backup list DIRECTORY` shows those that are.",
        )


class UnsafeArchiveError(RetaildError):
    key = "backup.unsafe_archive"

    def __init__(self, path: Path, member: str, reason: str) -> None:
        super().__init__(
            f"{path} holds {member!r}, which {reason}: nothing of it is used.",
            hint="retaild did not make this archive as it is; use another backup.",
        )


class DamagedBackupError(RetaildError):
    key = "backup.damaged"

    def __init__(self, path: Path, problems: list[str]) -> None:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        super().__init__(
            f"{path} is not as it was written: {'; '.join(problems[:3])}{more}.",
            hint="Use another backup; `retaildctl backup verify` finds one that is whole.",
        )
        self.details = {"problems": problems}


class UnknownBackupError(RetaildError):
    key = "backup.unknown"

    def __init__(self, name: str, folder: Path) -> None:
        which = f"no backup {name!r}" if name else "no backup"
        super().__init__(f"There is {which} in {folder}.", hint="See `retaildctl backup list`.")


class NotEmptyError(RetaildError):
    key = "backup.not_empty"

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory} is not empty: nothing is restored over what is there.",
            hint="Name an empty directory, or move this one away first.",
        )


class TooNewBackupError(RetaildError):
    key = "backup.too_new"

    def __init__(self, path: Path, what: str, found: int, known: int, version: str) -> None:
        super().__init__(
            f"{path} has schema {found} of {what}, but this version of retaild knows only up to "
            f"{known}.",
            hint=f"Install retaild {version} or newer, which made the backup, and restore then.",
        )
