"""The sentences on refused rows: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retaild_plugins.sources.tabular.config import ColumnRule, TabularConfig

_SHOWN = 60

_SENTENCES = {
    "field.missing": (
        "{field} is empty, and a {family} needs it",
        "Fill it in at its origin, or map `{field}` to another column.",
    ),
    "number.unreadable": (
        "{field} reads {value}, which is no number",
        "Mend the row, or set `decimal` and `thousands` to how the file writes numbers.",
    ),
    "number.not_finite": ("{field} is {value}, which is no amount", "Mend the row at its origin."),
    "number.out_of_range": (
        "{field} is {value}, more than the 18 digits that are kept",
        "Mend the row at its origin.",
    ),
    "number.too_precise": (
        "{field} is {value}, with more decimals than are kept",
        "Mend the row, or set `round = true` to have such numbers rounded.",
    ),
    "number.negative": (
        "{field} is {value}, which may not be negative",
        "Mend the row; if the file writes it with a minus, use {{ ..., negate = true }}.",
    ),
    "time.unreadable": (
        "{field} reads {value}, which fits none of the forms {dates}",
        "Mend the row, or add the file's form to `dates`.",
    ),
    "time.out_of_range": (
        "{field} is {value}, which is not between 1900 and 2200",
        "Mend the row, or correct the forms in `dates`.",
    ),
    "boolean.unreadable": (
        "{field} reads {value}, which is neither true nor false",
        "Write true or false, or rename the file's words with `values`.",
    ),
    "text.choice": (
        "{field} reads {value}, which is none of the words allowed",
        "Rename the file's words with `values = {{ ... }}`.",
    ),
    "text.pattern": (
        "{field} reads {value}, which is not of the form it needs",
        "Mend the row at its origin, or map another column.",
    ),
    "text.too_long": (
        "{field} is longer than allowed",
        "Shorten it at its origin, or map another column.",
    ),
}


def sentence(
    key: str, field: str, rule: ColumnRule | None, found: Sequence[Any], config: TabularConfig
) -> str:
    """Why a row was refused; `found` are the values of the rule's columns."""
    what, advice = _SENTENCES[key]
    named = f"{field}{_origin(rule)}"
    value = " and ".join(_shown(item) for item in found) or _shown(rule and rule.constant)
    dates = ", ".join(config.dates)
    return (
        what.format(field=named, family=config.family, value=value, dates=dates)
        + ". "
        + advice.format(field=field)
        + " Then replay it with `retaildctl deadletter replay`."
    )


def _origin(rule: ColumnRule | None) -> str:
    if rule is None or not rule.columns:
        return ""
    names = ", ".join(repr(name) for name in rule.columns)
    return f" (column {names})" if len(rule.columns) == 1 else f" (columns {names})"


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
