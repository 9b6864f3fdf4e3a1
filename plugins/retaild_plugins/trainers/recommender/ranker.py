"""Scores candidates with LightGBM's own library, without LightGBM's Python package.

The package would bring pandas and scikit-learn into the server (188 MiB, 1 s); its shared library
alone is 5 MiB. Functions: https://lightgbm.readthedocs.io/en/stable/C-API.html
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retaild.api import RetaildError

_FLOAT32, _ROW_MAJOR, _RAW_SCORE = 0, 1, 1
_PARAMETERS = b"num_threads=1 predict_disable_shape_check=true verbosity=-1"


class RankerError(RetaildError):
    """LightGBM's library is missing or refuses the model."""

    key = "recommender.ranker"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The ranker cannot be used: {what}.",
            hint="Check that lightgbm is installed, then train again: `retaildctl job run train`.",
        )


@cache
def library() -> ctypes.CDLL:
    """lib_lightgbm, found beside the package but without importing it."""
    spec = find_spec("lightgbm")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("**/lib_lightgbm.*")):
            found = ctypes.CDLL(str(path))
            found.LGBM_GetLastError.restype = ctypes.c_char_p
            return found
    raise RankerError("the library lib_lightgbm was not found")


class Ranker:
    """A trained booster. One thread, no allocation per call. Not thread-safe."""

    def __init__(self, model: Path, width: int) -> None:
        """Read LightGBM's text model; rows will have `width` features."""
        self._library = library()
        self._handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        path = str(model).encode()
        self._check(
            self._library.LGBM_BoosterCreateFromModelfile(
                path, ctypes.byref(iterations), ctypes.byref(self._handle)
            )
        )
        self._width = ctypes.c_int32(width)
        self._length = ctypes.c_int64()
        self._out = np.zeros(4096, np.float64)

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw scores of the rows (C-contiguous float32); overwritten by the next call."""
        if len(rows) > len(self._out):
            self._out = np.zeros(2 * len(rows), np.float64)
        if len(rows):
            self._check(
                self._library.LGBM_BoosterPredictForMat(
                    self._handle, ctypes.c_void_p(rows.ctypes.data), _FLOAT32,
                    ctypes.c_int32(len(rows)), self._width, _ROW_MAJOR, _RAW_SCORE, 0, -1,
                    _PARAMETERS, ctypes.byref(self._length),
                    ctypes.c_void_p(self._out.ctypes.data),
                )
            )  # fmt: skip
        return self._out[: len(rows)]

    def _check(self, code: int) -> None:
        if code:
            raise RankerError(self._library.LGBM_GetLastError().decode("utf-8", "replace"))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.LGBM_BoosterFree(self._handle)
            self._handle = ctypes.c_void_p()
