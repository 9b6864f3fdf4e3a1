"""A trained artifact as an MLflow model: its `MLmodel` file with the signature."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retaild.api.errors import RetaildError

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


class SignatureError(RetaildError):
    key = "registry.signature"

    def __init__(self, found: object) -> None:
        super().__init__(
            f"A trainer stated a model signature that cannot be kept: {found!r}.",
            hint='It is {"inputs": [{"name": ..., "type": ...}], "outputs": [...]} with the types '
            f"{', '.join(sorted(_TYPES))} or array<type>.",
        )


def metric_key(name: str) -> str:
    """`name` as MLflow allows it: "recall@10" -> "recall_at_10"."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))[:250]


def write_mlmodel(place: Path, run_id: str, trained: Trained) -> None:
    """Write `place/MLmodel`; raises SignatureError."""
    from mlflow.models import Model

    signature = _signature(trained.result.signature)
    model = Model(artifact_path=place.name, run_id=run_id, signature=signature)
    model.add_flavor(
        "retaild", trainer=trained.trainer, plugin=trained.plugin, version=trained.plugin_version
    )
    model.save(str(place / "MLmodel"))


def _signature(stated: Mapping[str, Any]) -> ModelSignature | None:
    from mlflow.models import ModelSignature

    if not stated:
        return None
    return ModelSignature(_schema(stated.get("inputs")), _schema(stated.get("outputs")))


def _schema(columns: Any) -> Schema | None:
    from mlflow.types import Schema

    if not columns:
        return None
    if not isinstance(columns, Sequence) or isinstance(columns, str):
        raise SignatureError(columns)
    return Schema([_column(column) for column in columns])


def _column(column: Any) -> Any:
    from mlflow.types import ColSpec
    from mlflow.types.schema import Array, DataType

    if not isinstance(column, Mapping) or not {"name", "type"} <= column.keys():
        raise SignatureError(column)
    match = re.fullmatch(r"(array<)?(\w+)(>)?", str(column["type"]))
    if match is None or match[2] not in _TYPES or bool(match[1]) != bool(match[3]):
        raise SignatureError(column)
    kind: Any = DataType[_TYPES[match[2]]]
    return ColSpec(
        Array(kind) if match[1] else kind,
        name=str(column["name"]),
        required=bool(column.get("required", True)),
    )
