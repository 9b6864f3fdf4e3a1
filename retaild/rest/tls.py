"""The server's own TLS: its context, and a certificate that is taken up when its file changes."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from retaild.api.errors import ConfigError
from retaild.config.settings import Settings

_log = logging.getLogger(__name__)

#: The files are looked at so often, in seconds.
LOOK_SECONDS = 5.0
_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class CertificateError(ConfigError):
    key = "serve.certificate"

    def __init__(self, certificate: Path, key: Path, reason: str) -> None:
        super().__init__(
            f"The certificate {certificate} with the key {key} cannot be used: {reason}.",
            hint="Both are PEM files, belong together, and are readable for retaild's user.",
        )


@dataclass
class Certificate:
    """The files of a certificate and its key, and the context that serves with them."""

    certificate: Path
    key: Path
    minimum: str = "1.2"
    context: ssl.SSLContext = field(init=False)
    _seen: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Raises CertificateError."""
        self._seen = self._marks()
        self.context = self._made()

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _MINIMUM[self.minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise CertificateError(self.certificate, self.key, str(reason)) from None
        return context

    def _marks(self) -> tuple[int, ...]:
        marks: list[int] = []
        for path in (self.certificate, self.key):
            try:
                status = path.stat()
            except OSError:
                return ()
            marks += [status.st_mtime_ns, status.st_ino, status.st_size]
        return tuple(marks)

    def look(self) -> bool:
        """Take up files that have changed and belong together; True if they were.

        New connections get the new certificate, those that stand keep theirs. While only one of
        the two files is new the old pair serves.
        """
        marks = self._marks()
        if not marks or marks == self._seen:
            return False
        try:
            self._made()
        except CertificateError as error:
            _log.warning("the old certificate goes on: %s", error)
            return False
        self.context.load_cert_chain(self.certificate, self.key, password=_no_password)
        self._seen = marks
        _log.info("the certificate %s was read anew", self.certificate)
        return True

    async def keep(self) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self.look)


def _no_password() -> str:
    """OpenSSL would ask at a terminal that nobody sits at."""
    raise ValueError("the key has a password")


def certificate_of(settings: Settings) -> Certificate | None:
    """None where the server speaks no TLS itself. Raises CertificateError."""
    files = settings.tls_files
    return None if files is None else Certificate(*files, settings.api.tls_minimum)
