"""Settings of the source `postgresql`: their descriptions are its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, SecretStr, model_validator
from retaild.api import Config
from retaild.events import family

Family = Literal["sale", "activity", "stock", "product", "price", "customer", "external"]
FAMILIES: tuple[str, ...] = get_args(Family)

#: Fields that nobody maps, and fields with a value even if nothing is mapped to them.
_OWN = frozenset({"event_id", "source"})
_FILLED = frozenset({"store", "currency"})


def _one_select(text: str) -> str:
    """A statement that can stand in parentheses; what it does, the read-only transaction bounds."""
    plain = text.strip().rstrip(";").strip()
    if not plain.lower().startswith(("select", "with")):
        raise ValueError("write one SELECT (it may begin with WITH)")
    return plain


class Constant(Config):
    """The same value in every row."""

    constant: str = Field(description="The value.")


class PostgresqlConfig(Config):
    """A query whose rows become events of one family."""

    host: str = Field(default="localhost", description="The server, or the folder of its socket.")
    port: int = Field(default=5432, ge=1, le=65_535, description="Its port.")
    database: str = Field(min_length=1, description="The database.")
    user: str = Field(min_length=1, description="A role that may read what the query reads.")
    password: SecretStr | None = Field(
        default=None, description="Written {file = ...} or {credential = ...}."
    )
    tls: Literal["prefer", "require", "verify-full"] = Field(
        default="verify-full",
        description="verify-full checks the server's certificate; prefer is for this machine.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )
    query: Annotated[str, AfterValidator(_one_select)] = Field(
        description="A SELECT without ORDER BY or LIMIT: the source adds its own."
    )
    cursor: str = Field(
        min_length=1,
        description="Column that never falls from older to newer rows: a number or a time.",
    )
    key: str = Field(
        min_length=1,
        description="Column that tells rows with an equal cursor apart and never changes: the "
        "primary key. Without NULLs.",
    )
    written: str = Field(
        default="",
        description="Column with the time at which a row was written, where the cursor is a "
        "number. Without it a number whose transaction commits late is passed over.",
    )
    settle_seconds: float = Field(
        default=10.0,
        ge=0,
        le=86_400,
        description="Rows younger than this (by `written`, else by a cursor that is a time) wait: "
        "set it longer than the longest transaction that writes them.",
    )
    family: Family = Field(default="sale", description="The event family that a row becomes.")
    columns: dict[str, str | Constant] = Field(
        description="Field of the event = column of the query, or {constant = '...'}."
    )
    page_rows: int = Field(
        default=5000, ge=1, le=50_000, description="At most so many rows are read at once."
    )
    pause_seconds: float = Field(
        default=2.0, ge=0, le=3600, description="After a page without rows, wait so long."
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="The server may work so long on a page."
    )

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        model = family(self.family).model_fields
        known = [name for name in model if name not in _OWN]
        strange = [name for name in self.columns if name not in known]
        if strange:
            raise ValueError(
                f"columns: a {self.family} has no {strange[0]!r} to fill; it has {', '.join(known)}"
            )
        missing = [
            name
            for name in known
            if model[name].is_required() and name not in self.columns and name not in _FILLED
        ]
        if missing:
            raise ValueError(f"columns: say where {', '.join(missing)} come from")
        return self
