"""A trained artifact as an MLflow model: its `MLmodel` file with the signature."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    from retaild.runtime.registry_writer import Trained

#: Names of types that a signature may use -> MLflow's.
_TYPES = {
    "boolean": "boolean", "bool": "boolean",
    "integer": "integer", "int32": "integer",
    "long": "long", "int64": "long", "int": "long",
    "float": "float", "float32": "float",
    "double": "double", "float64": "double", "number": "double",
    "string": "string", "str": "string",
    "binary": "binary", "bytes": "binary",
    "datetime": "datetime", "timestamp": "datetime",
}  # fmt: skip


def metric_key(name: str) -> str:
    """`name` as MLflow allows it: "recall@10" -> "recall_at_10"."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))[:250]


def write_mlmodel(place: Path, run_id: str, trained: Trained) -> None:
    """Write `place/MLmodel`, and the signature as it was stated to `place/signature.json`."""
    from mlflow.models import Model

    stated = trained.result.signature
    (place / "signature.json").write_text(json.dumps(stated, indent=2) + "\n", "utf-8")
    model = Model(artifact_path=place.name, run_id=run_id, signature=_signature(stated))
    model.add_flavor(
        "retaild", trainer=trained.trainer, plugin=trained.plugin, version=trained.plugin_version
    )
    model.save(str(place / "MLmodel"))


def _signature(stated: Mapping[str, Any]) -> ModelSignature | None:
    """`inputs` and `outputs` as MLflow knows them; other keys are only in signature.json."""
    from mlflow.models import ModelSignature

    inputs, outputs = _schema(stated.get("inputs")), _schema(stated.get("outputs"))
    return ModelSignature(inputs, outputs) if inputs or outputs else None


def _schema(columns: Any) -> Schema | None:
    """From {name: type} or [{"name": name, "type": type}]; None where there are none."""
    from mlflow.types import ColSpec, Schema

    found: list[Any] = [ColSpec(_kind(text), name=name) for name, text in _named(columns)]
    return Schema(found) if found else None


def _named(columns: Any) -> Iterator[tuple[str, str]]:
    if isinstance(columns, Mapping):
        yield from ((str(name), str(text)) for name, text in columns.items())
    elif isinstance(columns, list | tuple):
        for number, column in enumerate(columns):
            if isinstance(column, Mapping):
                yield str(column.get("name", number)), str(column.get("type", ""))


def _kind(text: str) -> Any:
    """MLflow's type for "float64", "float64 (in GBP)", "array<string>"; any type for the rest.

    A signature is a description: words that MLflow has no type for shall not cost a training.
    """
    from mlflow.types.schema import AnyType, Array, DataType

    match = re.match(r"(array<)?(\w+)(>)?(?:\s*\(|$)", text)
    if match is None or match[2] not in _TYPES or bool(match[1]) != bool(match[3]):
        return AnyType()  # type: ignore[no-untyped-call]
    kind = DataType[_TYPES[match[2]]]
    return Array(kind) if match[1] else kind
