"""The e-mail sink against a real mail server."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from retaild_plugins.alerts.email.config import EmailConfig
from retaild_plugins.alerts.email.sink import EmailSink

from retaild.api import AlertSink, Notification, RetaildError, TransientError
from retaild.testing.alert import AlertSinkConformance, message
from tests.plugins.alerts.mail_server import PASSWORD, USER, MailDesk, make_certificate

FOLDER = Path(__file__).parents[3] / "plugins/retaild_plugins/alerts/email"
PLAIN = {
    "host": "127.0.0.1",
    "encryption": "none",
    "sender": "retaild@shop.example",
    "recipients": ["it@shop.example"],
    "timeout_seconds": 1,
}


def _sink(desk: MailDesk, **settings: Any) -> EmailSink:
    return EmailSink(EmailConfig.model_validate({**PLAIN, "port": desk.port, **settings}))


@pytest.fixture
def desk() -> Iterator[MailDesk]:
    desk = MailDesk()
    yield desk
    desk.stop()


class _Worded:
    """The host's words for each action, which is what a mail's reader goes by."""

    def __init__(self, sink: EmailSink) -> None:
        self._sink = sink
        self.open, self.close = sink.open, sink.close

    def send(self, notification: Notification) -> None:
        words = {"acknowledge": "Acknowledged by ann: ", "resolve": "Resolved: "}
        said = words.get(notification.action, "") + notification.summary
        self._sink.send(replace(notification, summary=said))


class TestConformance(AlertSinkConformance):
    secret = PASSWORD

    @pytest.fixture
    def desk(self, desk: MailDesk) -> MailDesk:
        return desk

    @pytest.fixture
    def sink(self, desk: MailDesk) -> AlertSink:
        return _Worded(_sink(desk))


def test_a_mail_says_what_is_wrong_and_what_to_do(desk: MailDesk) -> None:
    _sink(desk, recipients=["it@shop.example", "boss@shop.example"]).send(message())
    (mail,) = desk.mails
    assert mail["Subject"] == "[retaild main] ERROR Source tills is in quarantine."
    assert mail["From"] == "retaild@shop.example"
    assert mail["To"] == "it@shop.example, boss@shop.example"
    assert mail["Message-ID"] == "<0f8fad5bd9cb469fa16570867728950e@shop.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == [
        "Source tills is in quarantine.",
        "",
        "ERROR instance.source.tills.quarantined",
        "  Source tills is in quarantine.",
        "  since 2030-03-17 17:46:40 UTC",
        "  See `retaildctl logs source.tills`.",
        "  last error: no such folder",
        "",
        "All alerts: https://shop.example/admin/alerts",
    ]


def test_mails_of_a_group_are_one_thread_with_ids_of_their_own(desk: MailDesk) -> None:
    sink = _sink(desk)
    sink.send(message())
    sink.send(message(id="another", action="resolve"))
    first, second = desk.mails
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]


@pytest.mark.parametrize("text", ["a\nBcc: x@evil.example", "a\r\n\r\nbody", "a\u2028b", "\x00"])
def test_no_text_makes_a_header(desk: MailDesk, text: str) -> None:
    _sink(desk).send(message(summary=text, store=text, group=text, id=text))
    (mail,) = desk.mails
    assert "Bcc" not in mail
    assert mail.get_content().rstrip().endswith("https://shop.example/admin/alerts")


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_by_tls_and_with_a_password(tmp_path: Path, encryption: str) -> None:
    certificate = make_certificate(tmp_path)
    desk = MailDesk(encryption, encryption == "starttls", certificate)
    settings: dict[str, Any] = {"host": "localhost", "encryption": encryption}
    if encryption == "starttls":
        settings |= {"username": USER, "password": PASSWORD}
    try:
        with pytest.raises(TransientError, match="certificate is not trusted"):
            _sink(desk, **settings).send(message())
        trusted = _sink(desk, **settings, ca_file=certificate[0])
        trusted.check()
        trusted.send(message())
    finally:
        desk.stop()
    assert len(desk.mails) == 1


def test_a_wrong_password_may_be_mended(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    desk = MailDesk("starttls", True, certificate)
    wrong = {"username": USER, "password": "wrong-word", "ca_file": certificate[0]}
    try:
        sink = _sink(desk, host="localhost", encryption="starttls", **wrong)
        with pytest.raises(TransientError) as failed:
            sink.send(message())
    finally:
        desk.stop()
    assert "wrong-word" not in str(failed.value)


def test_a_server_without_starttls_is_not_spoken_to(desk: MailDesk) -> None:
    sink = _sink(desk, encryption="starttls", username=USER, password=PASSWORD)
    with pytest.raises(TransientError, match="STARTTLS"):
        sink.send(message())
    assert desk.mails == []


def test_an_address_that_nobody_has_is_final(desk: MailDesk) -> None:
    with pytest.raises(RetaildError, match="no such mailbox") as failed:
        _sink(desk, recipients=["nobody@shop.example"]).send(message())
    assert not isinstance(failed.value, TransientError)


def test_one_wrong_address_does_not_keep_it_from_the_others(
    desk: MailDesk, caplog: pytest.LogCaptureFixture
) -> None:
    _sink(desk, recipients=["nobody@shop.example", "it@shop.example"]).send(message())
    assert len(desk.mails) == 1
    assert "nobody@shop.example" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "mail.shop.example"},
        {"sender": "a@b.example\nBcc: x@evil.example"},
        {"recipients": []},
        {"recipients": ["Ann <ann@shop.example>"]},
        {"username": "retaild"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EmailConfig.model_validate({**PLAIN, **wrong})


def test_the_sample_is_the_readme_s() -> None:
    sample = (FOLDER / "sample.toml").read_text()
    assert f"```toml\n{sample}```" in (FOLDER / "README.md").read_text()
    settings = tomllib.loads(sample)["alert"]["email"]
    assert EmailConfig.model_validate(
        {**{k: v for k, v in settings.items() if k != "plugin"}, "password": PASSWORD}
    )
