"""Numbers, money and times as people read them. The only place that turns them into words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from retaild.events.currency import minor_digits
from retaild.web.views import Amount, When

#: What stands where there is no value.
NOTHING = "–"
MINUS = "−"
_SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥", "CNY": "¥", "INR": "₹", "PLN": "zł"}
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """How a language writes numbers; CLDR's separators."""

    decimal: str = "."
    group: str = ","
    symbol_first: bool = True


STYLES = {
    "en": NumberStyle(),
    "de": NumberStyle(",", ".", symbol_first=False),
    "fr": NumberStyle(",", "\u202f", symbol_first=False),
}


@dataclass(frozen=True, slots=True)
class Formats:
    """Formatting for one shop: its currency, the zone of its clocks, its number style."""

    currency: str
    zone: ZoneInfo
    style: NumberStyle = NumberStyle()

    def number(self, value: Amount, places: int = 0) -> str:
        """1,234.5; rounded half to even at `places`."""
        exact = as_decimal(value)
        if exact is None:
            return NOTHING
        rounded = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
        text = f"{abs(rounded):,.{places}f}"
        swap = {",": self.style.group, ".": self.style.decimal}
        text = "".join(swap.get(character, character) for character in text)
        return MINUS + text if rounded < 0 else text

    def signed(self, value: Amount, places: int = 0) -> str:
        text = self.number(value, places)
        return text if text in (NOTHING, self.number(0, places)) or text[0] == MINUS else "+" + text

    def figure(self, value: Amount) -> str:
        """A metric: four decimals below 10, two below 100, else one."""
        exact = as_decimal(value)
        size = abs(exact) if exact is not None else 0
        return self.number(exact, 4 if size < 10 else 2 if size < 100 else 1)

    def units(self, value: Amount) -> str:
        """Expected pieces: a decimal only where it says something (below 100)."""
        return self.number(value, _unit_places(value))

    def signed_units(self, value: Amount) -> str:
        return self.signed(value, _unit_places(value))

    def quantity(self, value: Amount) -> str:
        """Pieces without decimals, weights with as many as they have (at most three)."""
        exact = as_decimal(value)
        if exact is None:
            return NOTHING
        places = max(0, -int(exact.normalize().as_tuple().exponent))
        return self.number(exact, min(places, 3))

    def money(self, value: Amount, places: int | None = None) -> str:
        """£1,234.50 in the minor unit of the shop's currency."""
        if as_decimal(value) is None:
            return NOTHING
        text = self.number(value, minor_digits(self.currency) if places is None else places)
        sign, digits = (MINUS, text[1:]) if text[0] == MINUS else ("", text)
        symbol = _SYMBOLS.get(self.currency)
        if not self.style.symbol_first:
            return f"{sign}{digits}\u00a0{symbol or self.currency}"
        return f"{sign}{symbol}{digits}" if symbol else f"{sign}{self.currency}\u00a0{digits}"

    def signed_money(self, value: Amount, places: int | None = None) -> str:
        text = self.money(value, places)
        unsigned = text == NOTHING or text[0] == MINUS or text == self.money(0, places)
        return text if unsigned else "+" + text

    def percent(self, fraction: Amount, places: int = 0) -> str:
        exact = as_decimal(fraction)
        return NOTHING if exact is None else self.number(exact * 100, places) + "\u202f%"

    def signed_percent(self, fraction: Amount, places: int = 1) -> str:
        exact = as_decimal(fraction)
        return NOTHING if exact is None else self.signed(exact * 100, places) + "\u202f%"

    def compact(self, value: Amount) -> str:
        """950, 12.4 k, 1.3 M."""
        exact = as_decimal(value)
        if exact is None:
            return NOTHING
        for size, letter in ((Decimal(10**6), "M"), (Decimal(10**4), "k")):
            if abs(exact) >= size:
                unit = Decimal(10**6) if letter == "M" else Decimal(1000)
                return f"{self.number(exact / unit, 1)}\u202f{letter}"
        return self.number(exact, 0 if abs(exact) >= 10 or exact == exact.to_integral() else 1)

    def size(self, value: Amount) -> str:
        """Bytes in binary units."""
        exact = as_decimal(value)
        if exact is None:
            return NOTHING
        for unit in ("B", "KiB", "MiB"):
            if abs(exact) < 1024:
                return f"{self.number(exact, 0 if unit == 'B' else 1)}\u00a0{unit}"
            exact /= 1024
        return f"{self.number(exact, 1)}\u00a0GiB"

    def date(self, value: When) -> str:
        local = self.local(value)
        return NOTHING if local is None else f"{local.day} {_MONTHS[local.month - 1]} {local.year}"

    def time(self, value: When) -> str:
        """9 Dec 2011, 12:50 in the shop's zone."""
        local = self.local(value)
        return NOTHING if local is None else f"{self.date(value)}, {local:%H:%M}"

    def clock(self, value: When) -> str:
        local = self.local(value)
        return NOTHING if local is None else f"{local:%H:%M:%S}"

    def local(self, value: When) -> datetime | None:
        moment = as_moment(value)
        return None if moment is None else moment.astimezone(self.zone)


def _unit_places(value: Amount) -> int:
    exact = as_decimal(value)
    return 0 if exact is not None and abs(exact) >= 100 else 1


def as_decimal(value: Amount) -> Decimal | None:
    """None for what is no finite number."""
    if value is None or value == "":
        return None
    try:
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None
    return exact if exact.is_finite() else None


def as_moment(value: When) -> datetime | None:
    """An aware UTC datetime; text without an offset is UTC, as everything of retaild's."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC) if value > 0 else None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def duration(seconds: Amount) -> str:
    """0.8 ms, 340 ms, 4.2 s, 3 min 10 s, 5 h 2 min, 3 d 4 h."""
    exact = as_decimal(seconds)
    if exact is None:
        return NOTHING
    value = float(exact)
    if value < 0.9995:
        return f"{value * 1000:.1f} ms" if value < 0.01 else f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    whole = round(value)
    for unit, size, lower, small in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {lower}"
    return f"{whole // 60} min {whole % 60} s"


def ago(value: When, now: datetime | None = None) -> str:
    """just now, 5 min ago, 3 h ago, 12 d ago; in ... for the future."""
    moment = as_moment(value)
    if moment is None:
        return NOTHING
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if abs(seconds) >= size:
            count = int(abs(seconds) // size)
            return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"
    return "just now"


def utc(value: When) -> str:
    """For `datetime` attributes: 2011-12-09T12:50:00Z; empty where there is no time."""
    moment = as_moment(value)
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


#: Words that stay as they are when a shouted name is made readable.
_KEEP = frozenset(
    ["UK", "USA", "US", "LED", "DIY", "TV", "CD", "DVD", "3D", "XL", "A4", "A5", "A6", "A7", "T"]
)


def product_name(text: str | None) -> str:
    """`WHITE HANGING HEART T-LIGHT HOLDER` -> `White hanging heart T-light holder`.

    Names in mixed case stay untouched: someone has thought about them.
    """
    name = " ".join((text or "").split())
    if not name or name != name.upper():
        return name
    words = [word if word.strip(".,()") in _KEEP else _lower(word) for word in name.split(" ")]
    joined = " ".join(words)
    return joined[0].upper() + joined[1:]


def _lower(word: str) -> str:
    if word.startswith("T-"):
        return "T-" + word[2:].lower()
    return word.lower()
