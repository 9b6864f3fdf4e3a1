"""Posts each message. The host owns the queue and the retries."""

from __future__ import annotations

import time

from pydantic import SecretStr
from retaild.api import BuildContext, Notification
from retaild.api.http import Answer, AwayError, accepted, post

from retaild_webhook.config import WebhookConfig
from retaild_webhook.schema import encoded
from retaild_webhook.signature import HEADER, signature


class WebhookSink:
    """An AlertSink. Any answer from 200 to 299 means that the receiver has the message."""

    def __init__(self, config: WebhookConfig, context: BuildContext) -> None:
        self._config = config
        self._name = f"The webhook {context.instance}"
        self._secret = _revealed(config.signing_secret)
        self._token = _revealed(config.token)

    def open(self) -> None:
        """There is nothing to open: each message is a request of its own."""

    def send(self, notification: Notification) -> None:
        content = encoded(notification)
        answer = post(
            self._name,
            self._config.url,
            content,
            self._headers(notification, content),
            timeout=self._config.timeout_seconds,
            ca_file=self._config.ca_file,
        )
        _raise_when_to_return(self._name, answer)
        taken = answer.status if 200 <= answer.status <= 299 else 200
        accepted(self._name, answer, taken, hide=[self._secret, self._token])

    def close(self) -> None:
        """Nothing is held."""

    def _headers(self, notification: Notification, content: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "retaild-webhook/1",
            # The same in every attempt: a receiver may drop what it has seen.
            "Idempotency-Key": notification.id,
        }
        if self._secret:
            headers[HEADER] = signature(self._secret.encode(), content, int(time.time()))
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


def _revealed(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _raise_when_to_return(receiver: str, answer: Answer) -> None:
    """A receiver that is too busy may say when it will not be (RFC 9110, 10.2.3)."""
    wish = answer.headers.get("retry-after", "")[:40]
    if answer.status in (429, 503) and wish.isprintable() and wish:
        unit = " s" if wish.isdigit() else ""
        raise AwayError(receiver, f"it answered {answer.status}: again after {wish}{unit}.")
