"""A stranger's text in a log is shown as what it is."""

from __future__ import annotations

import logging

import pytest

from retaild.runtime.logs import UtcFormatter, _OneLineFormatter

FORGED = "no such id\r\n2026-01-31T12:00:00.000Z ERROR   retaild: all is lost\x1b[2J\u2028end\x85"


@pytest.mark.parametrize("formatter", [UtcFormatter(), _OneLineFormatter()])
def test_a_text_forges_no_record_and_moves_no_cursor(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("web", logging.INFO, "", 0, "Asked for: %s", (FORGED,), None)
    first, second = formatter.format(record).splitlines()
    assert first.endswith("INFO    web: Asked for: no such id\\r")
    assert second == (
        "    | 2026-01-31T12:00:00.000Z ERROR   retaild: all is lost\\x1b[2J\\u2028end\\x85"
    )
