"""Receipt lines: which kind each is, and its price where the till writes only amounts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retaild.events import LineType
from retaild_plugins.sources.tabular.config import LineRules
from retaild_plugins.sources.tabular.numbers import LIMIT, Numbers
from retaild_plugins.sources.tabular.texts import Bools, flags

_TYPES = (LineType.SALE, LineType.RETURN, LineType.SERVICE, LineType.ADJUSTMENT)


class LineTypes:
    """Decides by the first that holds: no price -> adjustment; no article -> service; cancelled,
    marked or of negative quantity -> return; else sale.
    """

    def __init__(self, rules: LineRules) -> None:
        self._rules = rules
        self._names = pa.array([str(kind.value) for kind in _TYPES])

    def of(
        self,
        receipts: pa.Array,
        products: pa.Array,
        quantity: Numbers,
        price: Numbers,
        returned: pa.Array | None,
    ) -> pa.Array:
        """The column `line_type`."""
        rules = self._rules
        kind = np.zeros(len(receipts), np.int8)
        if rules.negative_is_return:
            kind[quantity.scaled < 0] = 1
        if rules.return_receipt:
            kind[_matches(receipts, rules.return_receipt)] = 1
        if returned is not None:
            kind[flags(pc.is_in(returned, pa.array(rules.return_values, pa.string())))] = 1
        if rules.product:
            kind[~_matches(products, rules.product)] = 2
        if rules.service:
            kind[_matches(products, rules.service)] = 2
        kind[price.scaled <= 0] = 3
        return self._names.take(pa.array(kind))


def _matches(texts: pa.Array, pattern: str) -> Bools:
    return flags(pc.match_substring_regex(texts, pattern))


def price_of(amount: Numbers, discount: Numbers, quantity: Numbers) -> Numbers:
    """(amount + discount) / quantity to four places, halves away from zero; 0 for no quantity.

    What the shelf said: the amount is what was paid, after the discount.
    """
    gross = amount.scaled + discount.scaled
    large = np.abs(gross) >= LIMIT // 1000
    pieces = quantity.scaled
    none = pieces == 0
    divisor = np.where(none, 1, pieces)
    numerator = np.where(large, 0, gross) * 1000
    sign = np.where((numerator < 0) != (divisor < 0), -1, 1)
    whole, rest = np.divmod(np.abs(numerator), np.abs(divisor))
    price = sign * (whole + (2 * rest >= np.abs(divisor)))
    missing = amount.missing | quantity.missing
    return Numbers(np.where(none, 0, price), 4, missing, {"number.out_of_range": large})
