"""Hands mails to a mail server (RFC 5321), by TLS unless the server is this machine."""

from __future__ import annotations

import logging
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from retaild.api import ConfigError, Notification, RetaildError, TransientError
from retaild_plugins.alerts.email.config import EmailConfig
from retaild_plugins.alerts.email.message import mail

_log = logging.getLogger(__name__)


class MailRefusedError(RetaildError):
    key = "email.refused"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The mail server refuses the mail: {reason}",
            hint="Correct the addresses of the sink.",
        )


class MailAwayError(TransientError):
    key = "email.away"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The mail server did not take the mail: {reason}")


class EmailSink:
    def __init__(self, config: EmailConfig) -> None:
        self._config = config

    def open(self) -> None:
        """There is nothing to open: each mail has a connection of its own."""

    def check(self) -> None:
        """Connect and log in, as for a mail."""
        with _told(), self._server():
            pass

    def send(self, notification: Notification) -> None:
        message = mail(notification, self._config, time.time())
        with _told(), self._server() as server:
            refused = server.send_message(
                message, self._config.sender, list(self._config.recipients)
            )
        if refused:
            _log.warning("not delivered to %s: %s", ", ".join(refused), refused)

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        config = self._config
        seconds = config.timeout_seconds
        server: smtplib.SMTP
        if config.encryption == "tls":
            server = smtplib.SMTP_SSL(
                config.host, config.port, timeout=seconds, context=_trust(config)
            )
        else:
            server = smtplib.SMTP(config.host, config.port, timeout=seconds)
        with server:
            if config.encryption == "starttls":
                server.starttls(context=_trust(config))
            if config.password is not None:
                server.login(config.username, config.password.get_secret_value())
            yield server

    def close(self) -> None:
        """Nothing is held."""


def _trust(config: EmailConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=config.ca_file and str(config.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"The certificates in {config.ca_file} cannot be read: {error}."
        ) from None


@contextmanager
def _told() -> Iterator[None]:
    """What smtplib raises, as what the host understands: 5xx about the mail itself is final."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()))
        raise _answered(code, words) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise _answered(error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPAuthenticationError as error:
        raise MailAwayError(f"it does not know the user ({error.smtp_code}).") from None
    except smtplib.SMTPNotSupportedError as error:
        raise MailAwayError(f"{error} Check the port and `encryption`.") from None
    except smtplib.SMTPResponseException as error:
        raise MailAwayError(f"{error.smtp_code} {_words(error.smtp_error)}") from None
    except ssl.SSLCertVerificationError as error:
        raise MailAwayError(f"its certificate is not trusted ({error.verify_message}).") from None
    except (smtplib.SMTPException, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MailAwayError(f"{reason}.") from None


def _answered(code: int, words: bytes | str) -> RetaildError:
    reason = f"{code} {_words(words)}"
    return MailAwayError(reason) if code < 500 else MailRefusedError(reason)


def _words(words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
