"""A real mail server on loopback, with TLS and log-in, and moods."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from retaild.testing.alert import Mood, Received

USER, PASSWORD = "retaild", "correct horse battery staple"


def make_certificate(folder: Path, days: float = 30.0) -> tuple[Path, Path]:
    """A certificate for localhost that is its own authority: (certificate, key) as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    end = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=days + 60))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@dataclass
class MailDesk:
    """`encryption`: as the sink's setting; with `login` nobody may send without."""

    encryption: str = "none"
    login: bool = False
    certificate: tuple[Path, Path] | None = None
    received: list[Received] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    mood: Mood = "well"
    port: int = 0
    _controller: Any = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._start()

    def become(self, mood: Mood) -> None:
        if mood == "gone":
            self.stop()
        elif self._controller is None:
            self._start()
        self.mood = mood

    # -- what aiosmtpd calls ---------------------------------------------------------------------

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.mood == "hanging":
            while not self._over.is_set() and self.mood == "hanging":
                await asyncio.sleep(0.05)
            return "451 too late"
        answers = {
            "busy": "450 4.7.1 come back later",
            "broken": "451 4.3.0 my disk is full",
            "refusing": "550 5.7.1 not wanted",
        }
        if self.mood in answers:
            return answers[self.mood]
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.received.append(_understood(mail))
        return "250 OK"

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def _log_in(self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any) -> Any:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=known)

    # -- life ------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._over.clear()
        context = None
        if self.certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.certificate)
        options: dict[str, Any] = {}
        if self.encryption == "starttls":
            options = {"tls_context": context, "require_starttls": True}
        elif self.encryption == "tls":
            options = {"ssl_context": context}
        if self.login:
            options |= {
                "authenticator": self._log_in,
                "auth_required": True,
                "auth_require_tls": self.encryption == "starttls",
            }
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port or _free_port(), **options
        )
        self._controller.start()
        self.port = self._controller.port

    def stop(self) -> None:
        self._over.set()
        if self._controller is not None:
            self._controller.stop()
            self._controller = None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _understood(mail: EmailMessage) -> Received:
    """What a person's mail reader shows: one thread, and what the subject begins with."""
    subject = str(mail["Subject"])
    action = "trigger"
    if "Acknowledged" in subject:
        action = "acknowledge"
    elif "Resolved" in subject:
        action = "resolve"
    group = str(mail["References"]).strip("<>").partition("@")[0]
    return Received(action, group, f"{subject}\n{mail.get_content()}")
