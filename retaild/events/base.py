"""What all event families share, and the register of families."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from retaild.events.errors import UnknownFamilyError


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # within hours of the years 1 and 9999
        raise ValueError("the time is out of range") from None


Text = Annotated[str, Field(max_length=2000)]
Identifier = Annotated[str, Field(min_length=1, max_length=200)]
Moment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
#: An amount of money in units of the event's currency, to four decimals. Never a float.
Money = Annotated[Decimal, Field(max_digits=18, decimal_places=4)]
#: Pieces, kilograms or metres, to three decimals; negative for goods that come back.
Quantity = Annotated[Decimal, Field(max_digits=18, decimal_places=3)]
#: ISO 4217, such as GBP.
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

FAMILIES: dict[str, type[Event]] = {}


class Event(BaseModel):
    """One thing that happened in a store.

    `event_id` is deterministic: the same happening read twice, by whatever door, carries the same
    id, and the lake keeps it once. `event_time` is when it happened (UTC), not when it was read.
    """

    # Infinity and NaN have no JSON: they would be written as null, and their value lost unsaid.
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False
    )

    #: The family's name: names the lake's tables, the log's entries and the REST field `family`.
    family: ClassVar[str] = ""
    #: Raised when a field changes its meaning; adding an optional field does not raise it.
    version: ClassVar[int] = 1

    event_id: Identifier
    event_time: Moment
    source: Identifier = Field(description="Name of the configured source it came through.")
    store: Identifier = Field(default="main", description="Which shop of the chain.")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if cls.family:
            FAMILIES[cls.family] = cls


def family(name: str) -> type[Event]:
    """The model of family `name`; raises UnknownFamilyError."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise UnknownFamilyError(name, sorted(FAMILIES)) from None
