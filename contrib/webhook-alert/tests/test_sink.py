"""What every alert sink must do (retaild's own suite), and what this one does."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr, ValidationError
from retaild.api import AlertSink, BuildContext, TransientError
from retaild.testing.alert import (
    AlertSinkConformance,
    HttpDesk,
    Received,
    Request,
    Response,
    message,
)

from retaild_webhook.config import WebhookConfig
from retaild_webhook.signature import signature, verify
from retaild_webhook.sink import WebhookSink


@pytest.fixture
def desk() -> Iterator[HttpDesk]:
    """A receiver: a real server on this machine."""

    def answer(request: Request) -> Response:
        told = json.loads(request.body)
        desk.received.append(Received(told["action"], told["group"], request.body.decode()))
        return Response(204)

    desk = HttpDesk(answer)
    yield desk
    desk.stop()


@pytest.fixture
def sink(desk: HttpDesk) -> AlertSink:
    return built(desk.url)


def built(url: str, **settings: Any) -> AlertSink:
    secrets = {"signing_secret": SecretStr("s3cret"), "token": SecretStr("t0ken")}
    config = WebhookConfig(url=url, timeout_seconds=1, **secrets, **settings)
    return WebhookSink(config, BuildContext("chat", Path("state"), Path("lake")))


class QuietReceiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


def self_signed(host: str) -> bytes:
    """A key and a certificate for `host`, good for an hour, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, plain
    ) + certificate.public_bytes(pem)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTPS receiver's address, and the file of the authority that vouches for it."""
    certificate = tmp_path / "receiver.pem"
    certificate.write_bytes(self_signed("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), QuietReceiver)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://localhost:{server.server_address[1]}/hook", certificate
    server.shutdown()
    server.server_close()


class TestSink(AlertSinkConformance):
    secret = "s3cret"

    @pytest.fixture
    def desk(self, desk: HttpDesk) -> HttpDesk:
        return desk

    @pytest.fixture
    def sink(self, sink: AlertSink) -> AlertSink:
        return sink


def test_the_message_is_version_1_of_the_schema(sink: AlertSink, desk: HttpDesk) -> None:
    sink.send(message())
    (request,) = desk.requests
    assert json.loads(request.body) == {
        "version": 1,
        "id": "0f8fad5bd9cb469fa16570867728950e",
        "group": "retaild.main.instance.source.7.1900000000000",
        "action": "trigger",
        "severity": "error",
        "summary": "Source tills is in quarantine.",
        "store": "main",
        "url": "https://shop.example/admin/alerts",
        "escalation": 0,
        "alerts": [
            {
                "key": "instance.source.tills.quarantined",
                "severity": "error",
                "summary": "Source tills is in quarantine.",
                "source": "instance",
                "hint": "See `retaildctl logs source.tills`.",
                "details": {"last error": "no such folder"},
                "count": 1,
                "started": "2030-03-17T17:46:40.000+00:00",
                "resolved": None,
            }
        ],
        "alerts_in_all": 1,
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "0f8fad5bd9cb469fa16570867728950e"


def test_the_receiver_can_prove_who_sent_it(sink: AlertSink, desk: HttpDesk) -> None:
    sink.send(message())
    (request,) = desk.requests
    header = request.headers["retaild-signature"]
    assert verify(b"s3cret", header, request.body)
    assert not verify(b"guessed", header, request.body)
    assert not verify(b"s3cret", header, request.body.replace(b"error", b"info "))
    assert not verify(b"s3cret", header, request.body, now=time.time() + 301)
    assert request.headers["authorization"] == "Bearer t0ken"


def test_a_signature_worked_out_by_hand() -> None:
    """printf '1900000000.{}' | openssl dgst -sha256 -hmac key"""
    known = "f9f80f30f10c35888fa982cbea5da54c7751cb2516ebf4a2e5ad7204ed86b928"
    assert signature(b"key", b"{}", 1_900_000_000) == f"t=1900000000,v1={known}"


@pytest.mark.parametrize(
    "header", ["", "t=,v1=", "t=1e9,v1=aa", "v1=ä,t=1", "t=1", "nonsense", "="]
)
def test_a_strange_signature_is_no_signature(header: str) -> None:
    assert not verify(b"s3cret", header, b"{}")


@pytest.mark.parametrize("wish", ["120", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_busy_receiver_s_wish_is_told(sink: AlertSink, wish: str) -> None:
    busy = HttpDesk(lambda _: Response(429, b"", {"Retry-After": wish}))
    try:
        with pytest.raises(TransientError, match=f"again after {wish}"):
            built(busy.url).send(message())
    finally:
        busy.stop()


def test_redirects_are_not_followed(desk: HttpDesk) -> None:
    """A receiver that was taken over must not pass the secrets on."""
    elsewhere = HttpDesk(lambda _: Response(302, b"", {"Location": desk.url}))
    try:
        with pytest.raises(TransientError, match="302"):
            built(elsewhere.url).send(message())
    finally:
        elsewhere.stop()
    assert desk.requests == []


@pytest.mark.parametrize(
    "url", ["http://chat.example/x", "ftp://chat.example", "https://a@b.example"]
)
def test_addresses_that_would_give_secrets_away_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookConfig(url=url)


class TestTls:
    def test_a_certificate_of_the_given_authority_is_trusted(self, tls: tuple[str, Path]) -> None:
        url, authority = tls
        built(url, ca_file=authority).send(message())

    def test_an_unknown_certificate_is_not(self, tls: tuple[str, Path]) -> None:
        with pytest.raises(TransientError, match="certificate is not trusted"):
            built(tls[0]).send(message())

    def test_a_certificate_for_another_host_is_not(self, tls: tuple[str, Path]) -> None:
        url, authority = tls
        with pytest.raises(TransientError, match="certificate is not trusted"):
            built(url.replace("localhost", "127.0.0.1"), ca_file=authority).send(message())
