"""A notification as a mail: plain text, one thread per group."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from retaild.api import Alert, Notification
from retaild_plugins.alerts.email.config import EmailConfig

#: Any server takes 7-bit mails.
_POLICY = SMTP.clone(cte_type="7bit")
_MAX_SUBJECT = 200


def mail(notification: Notification, config: EmailConfig, now: float) -> EmailMessage:
    """`now`: seconds since the epoch (UTC). The same notification has always the same id."""
    domain = config.sender.rpartition("@")[2]
    message = EmailMessage(policy=_POLICY)
    message["Subject"] = _subject(notification)
    message["From"] = config.sender
    message["To"] = ", ".join(config.recipients)
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = f"<{_word(notification.id)}@{domain}>"
    # Nobody ever got the thread's first id; readers gather what refers to the same one.
    thread = f"<{_word(notification.group)}@{domain}>"
    message["In-Reply-To"] = thread
    message["References"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(notification))
    return message


def _subject(notification: Notification) -> str:
    place = f"[retaild {notification.store}]"
    level = "" if notification.action == "resolve" else f" {notification.severity.upper()}"
    again = f" (escalation {notification.escalation})" if notification.escalation else ""
    line = f"{place}{level}{again} {notification.summary}"
    return _one_line(line)[:_MAX_SUBJECT]


def _one_line(text: str) -> str:
    """Without anything that could end a header's line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text) or "-"


def _text(notification: Notification) -> str:
    parts = [notification.summary, *(_told(alert) for alert in notification.alerts)]
    if notification.url:
        parts.append(f"All alerts: {notification.url}")
    return "\n\n".join(parts) + "\n"


def _told(alert: Alert) -> str:
    lines = [
        f"{alert.severity.upper()} {alert.key}",
        f"  {alert.summary}",
        f"  since {_moment(alert.started)}" + (f", {alert.count} times" * (alert.count > 1)),
    ]
    if alert.resolved is not None:
        lines.append(f"  over since {_moment(alert.resolved)}")
    if alert.hint:
        lines.append(f"  {alert.hint}")
    lines += [f"  {name}: {value}" for name, value in alert.details.items()]
    return "\n".join(lines)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
