"""Why a product is offered, in a sentence for the customer's eyes."""

from __future__ import annotations


def repeat(times: int) -> str:
    if times == 1:
        return "You bought this before"
    return f"You bought this {times} times"


def because_of(name: str) -> str:
    return f"Because you bought {name}"


def with_basket(name: str) -> str:
    return f"Goes with {name} in your basket"


def after_view(name: str) -> str:
    return f"Because you looked at {name}"


def alike(name: str) -> str:
    return f"Customers of {name} buy it too"


def same_taste() -> str:
    return "Popular with customers who buy what you buy"


def popular() -> str:
    return "Popular this month"
