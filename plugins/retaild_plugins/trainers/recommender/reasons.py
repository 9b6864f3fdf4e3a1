"""Why a product is offered, in a sentence for the customer's eyes."""

from __future__ import annotations

import re

DAY = 86_400.0
_SMALL = frozenset(
    ("a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with")
)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_AFTER_NUMBER = re.compile(r"(?<=\d')S\b")


def tidy(name: str) -> str:
    """'SET OF 3 CAKE TINS ' -> 'Set of 3 Cake Tins'; names not in capitals stay as they are."""
    name = " ".join(name.split())
    if name != name.upper():
        return name
    done = _WORD.sub(lambda m: m[0].lower() if m[0].lower() in _SMALL else m[0].capitalize(), name)
    return _AFTER_NUMBER.sub("s", done[:1].upper() + done[1:])


def every(days: float) -> str:
    """'every 3 weeks'."""
    if days < 1.5:
        return "nearly every day"
    if days < 10:
        return f"about every {round(days)} days"
    if days < 60:
        weeks = round(days / 7)
        return "about every week" if weeks == 1 else f"about every {weeks} weeks"
    return f"about every {round(days / 30.4)} months"


def ago(days: float) -> str:
    """'20 days ago'."""
    if days < 1:
        return "today"
    if days < 2:
        return "yesterday"
    if days < 28:
        return f"{int(days)} days ago"
    if days < 60:
        return f"{round(days / 7)} weeks ago"
    return f"{round(days / 30.4)} months ago"


def repeat(times: int, gap_days: float, elapsed_days: float) -> str:
    """For a product bought before; `gap_days` counts from two purchases on."""
    if times < 2 or gap_days <= 0.5:
        return f"You bought this {ago(elapsed_days)}"
    return f"You buy this {every(gap_days)} — last time {ago(elapsed_days)}"


def with_product(name: str) -> str:
    return f"Often bought with {name}"


def with_basket(name: str) -> str:
    return f"Goes with {name} in your basket"


def after_view(name: str) -> str:
    return f"Because you looked at {name}"


def after_purchase(name: str) -> str:
    return f"Often bought next after {name}"


def same_taste() -> str:
    return "Popular with customers who buy what you buy"


def local(country: str) -> str:
    return f"Popular in {country} this month"


def popular() -> str:
    return "Popular this month"
