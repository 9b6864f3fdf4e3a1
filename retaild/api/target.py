"""Kind `deploy target`: takes answers that were computed ahead, for others to read.

A till, a web shop or an e-mail tool reads them there without asking retaild's server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from retaild.api.base import Spec

#: `recommendations`: a record per customer, as `GET /api/v1/customers/{id}/recommendations` gives.
#: `products`: a record per product with its price, as `GET /api/v1/products/{id}` gives.
Dataset = Literal["recommendations", "products"]
DATASETS: tuple[Dataset, ...] = ("recommendations", "products")


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object and the id under which it is found."""

    id: str
    body: Mapping[str, Any]


class DeployTarget(Protocol):
    """Holds the newest records of each data set."""

    def open(self) -> None:
        """Reach the server. Raises TransientError if that may work later."""

    def publish(self, dataset: Dataset, records: Iterable[Record]) -> int:
        """Replace the data set by `records`; how many there are.

        Who reads meanwhile finds each record, the one before or the new one. If it raises, what
        was there is still there.
        """

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of products, the best first, and how many there are in all."""

    ids: Sequence[str]
    total: int


@runtime_checkable
class Searchable(Protocol):
    """A deploy target that finds products by what people type."""

    def search(self, text: str, category: str | None, limit: int, offset: int) -> Found:
        """Within half a second. Raises TransientError; then the server's own search answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployTargetSpec(Spec):
    """Registers a deploy target. `build` returns a DeployTarget."""

    #: Whether it is Searchable, too: the server's product search then asks it first.
    searchable: bool = False
