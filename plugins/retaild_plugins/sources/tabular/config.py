"""Settings of a tabular source: where the rows are, how they are written, what they mean."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, field_validator, model_validator

from retaild.api import Config
from retaild.events import family

Family = Literal["sale", "activity", "stock", "product", "price", "customer", "external"]
FAMILIES: tuple[str, ...] = get_args(Family)

#: Fields that nobody maps: the host knows them.
_OWN_FIELDS = frozenset({"event_id", "source"})
#: Fields with a value even if no column is mapped to them.
_FILLED = frozenset({"store", "currency", "valid_from"})


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class ColumnRule(Config):
    """Where a field's value comes from, if it is not simply one column."""

    column: str | None = Field(default=None, description="The column.")
    constant: str | None = Field(default=None, description="The same value in every row.")
    sum: tuple[str, ...] = Field(default=(), description="Add up these columns; empty counts as 0.")
    join: tuple[str, ...] = Field(
        default=(), description="Texts of these columns with `separator` between: date and time."
    )
    separator: str = Field(default=" ", description="What `join` puts between.")
    negate: bool = Field(default=False, description="Change the sign: discounts written as -0.50.")
    values: dict[str, str] = Field(
        default={}, description="Rename values: {addtocart = 'basket_add'}; others stay."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = (self.column is not None, self.constant is not None, self.sum, self.join)
        if sum(map(bool, origins)) != 1:
            raise ValueError("state exactly one of column, constant, sum, join")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The input's columns it reads."""
        return (self.column,) if self.column is not None else self.sum + self.join


class LineRules(Config):
    """Which kind of line a receipt's line is; without any, only by price and quantity."""

    product: Pattern = Field(
        default="",
        description="Regular expression of the article numbers of goods; what does not match is a "
        "`service` (postage, charges).",
    )
    service: Pattern = Field(
        default="", description="Regular expression of article numbers that are not goods."
    )
    return_receipt: Pattern = Field(
        default="", description="Regular expression of the numbers of cancellation receipts: '^C'."
    )
    return_column: str = Field(default="", description="A column that marks returned lines.")
    return_values: tuple[str, ...] = Field(
        default=(), description="Its values that mean 'returned'."
    )
    negative_is_return: bool = Field(
        default=True, description="A quantity below zero makes a line a return."
    )


class TabularConfig(Config):
    """One kind of file from one origin."""

    path: Path = Field(description="A file, or a folder to watch.")
    pattern: str = Field(
        default="*", description="Which files of the folder: '*.csv'. Never in subfolders."
    )
    family: Family = Field(default="sale", description="The event family that a row becomes.")
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = Field(
        default="auto",
        description="auto: by the file's name (also .gz) and its first bytes.",
    )
    columns: dict[str, str | ColumnRule] = Field(
        default={},
        description="Field of the event = column of the file, or a rule (a table with constant, "
        "sum, join, values, ...). Empty: the columns are named as the fields are.",
    )
    lines: LineRules = Field(default=LineRules(), description="Kinds of receipt lines (sales).")

    encoding: str = Field(
        default="auto",
        description="utf-8, cp1252, latin-1, utf-16, ...; auto: by the byte order mark, else "
        "UTF-8, and a row that is not UTF-8 is read as Windows-1252.",
    )
    delimiter: str = Field(
        default="auto", description="Sign between fields; auto: tab in .tsv, else the one of , ; "
        "tab | that the first line has most of.",
    )  # fmt: skip
    quote: str = Field(default='"', max_length=1, description="Sign around texts; '' for none.")
    fields: tuple[str, ...] = Field(
        default=(), description="Names of the columns where the file has no line of names."
    )
    skip_lines: int = Field(default=0, ge=0, description="Lines before the names or first row.")

    decimal: Literal[".", ","] = Field(default=".", description="The decimal sign.")
    thousands: Literal["", ",", ".", " ", "'"] = Field(
        default="", description="Sign between groups of three digits."
    )
    round: bool = Field(
        default=False,
        description="Round numbers with too many decimals instead of refusing their row.",
    )
    dates: tuple[str, ...] = Field(
        default=("iso",),
        min_length=1,
        description="Forms of date and time, tried in order: iso, epoch, epoch_ms, excel, or "
        "strptime forms such as '%d/%m/%Y %H:%M' (day first).",
    )
    timezone: str = Field(
        default="", description="IANA zone of times without an offset; default: the shop's."
    )
    currency: str = Field(
        default="", pattern="^([A-Z]{3})?$", description="ISO 4217 code; default: the shop's."
    )
    store: str = Field(
        default="", max_length=200, description="The shop's name where no column has it."
    )
    nulls: tuple[str, ...] = Field(
        default=("", "NULL", "null", "NaN", "nan", "None", "\\N"),
        description="Spellings of 'no value'.",
    )
    trim_ids: bool = Field(
        default=True, description="Read the number 17850.0 in an identifier as 17850."
    )

    settle_seconds: float = Field(
        default=2.0, ge=0, description="A file is read when it has not changed for so long."
    )
    follow: bool = Field(
        default=False,
        description="The file grows all the time: read whole lines as they come, without settling.",
    )
    delete_finished: bool = Field(
        default=False,
        description="Delete a file of the folder once all its rows are in the log. For spools.",
    )
    max_row_bytes: int = Field(
        default=256 * 1024, ge=64, le=4 * 1024 * 1024, description="A longer row is refused."
    )
    max_unpacked_bytes: int = Field(
        default=16 * 1024**3, ge=1, description="A compressed file is read no further than this."
    )

    @field_validator("pattern")
    @classmethod
    def _plain_pattern(cls, pattern: str) -> str:
        if not pattern or "/" in pattern or "\\" in pattern or "\0" in pattern:
            raise ValueError("a pattern of file names such as '*.csv', without folders")
        return pattern

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        if encoding == "auto":
            return encoding
        try:
            name = codecs.lookup(encoding).name
            line = "\n".encode(encoding)
        except (LookupError, TypeError, UnicodeError):
            raise ValueError(
                f"there is no text encoding {encoding!r}; use utf-8, cp1252, latin-1 or utf-16"
            ) from None
        if line != b"\n" and not name.startswith("utf-16"):
            raise ValueError(f"{encoding!r} cannot be read; convert the file to UTF-8")
        return name

    @field_validator("delimiter")
    @classmethod
    def _one_sign(cls, delimiter: str) -> str:
        delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
        if delimiter != "auto" and (
            len(delimiter) != 1 or not delimiter.isascii() or delimiter in "\r\n"
        ):
            raise ValueError("one ASCII sign such as ',' or ';', 'tab', or 'auto'")
        return delimiter

    @field_validator("quote")
    @classmethod
    def _ascii_quote(cls, quote: str) -> str:
        if not quote.isascii() or quote in ("\r", "\n"):
            raise ValueError("one ASCII sign, or '' for none")
        return quote

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            if name:
                ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            raise ValueError(
                f"there is no time zone {name!r}; write one such as Europe/London"
            ) from None
        return name

    @model_validator(mode="after")
    def _mapped_fields(self) -> Self:
        model = family(self.family).model_fields
        unknown = [name for name in self.columns if name not in model or name in _OWN_FIELDS]
        if unknown:
            known = ", ".join(name for name in model if name not in _OWN_FIELDS)
            raise ValueError(
                f"columns: a {self.family} has no field {unknown[0]!r} to fill; it has {known}"
            )
        missing = [name for name in self.missing() if self.columns]
        if missing:
            raise ValueError(
                f"columns: say where {', '.join(missing)} come from: a column's name, or "
                "{constant = '...'}"
            )
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands cannot be the same sign")
        if self.quote and self.quote == self.delimiter:
            raise ValueError("quote and delimiter cannot be the same sign")
        return self

    def missing(self) -> list[str]:
        """Required fields without an origin."""
        model = family(self.family).model_fields
        given = set(self.columns) | _FILLED | _OWN_FIELDS
        if self.family == "sale" and "amount" in given:
            given.add("unit_price")
        return [name for name, info in model.items() if info.is_required() and name not in given]

    def rules(self) -> dict[str, ColumnRule]:
        """Field -> rule, plain names written out."""
        return {
            field: ColumnRule(column=rule) if isinstance(rule, str) else rule
            for field, rule in self.columns.items()
        }
