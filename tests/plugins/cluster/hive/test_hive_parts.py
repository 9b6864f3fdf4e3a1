"""What of the metastore's plugin needs no metastore."""

from __future__ import annotations

import socket
import struct
import threading
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError
from retaild_plugins.cluster.hive import plugin, thrift
from retaild_plugins.cluster.hive.config import HiveServiceConfig
from retaild_plugins.cluster.hive.service import HiveService, rendered

from retaild.api import BuildContext, Spec
from retaild.testing.plugin import check_sample, specs_in

FOLDER = Path(plugin.__file__).parent


@pytest.mark.parametrize(("kind", "spec"), specs_in(plugin))
def test_the_sample_configures_it(kind: str, spec: Spec) -> None:
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    check_sample(kind, spec, tomllib.loads(sample))
    assert sample in (FOLDER / "README.md").read_text("utf-8")


def test_settings_are_well_formed_xml() -> None:
    found = ElementTree.fromstring(rendered({"a": "x & <y>"}))
    assert [(p.findtext("name"), p.findtext("value")) for p in found] == [("a", "x & <y>")]


def test_a_password_lies_in_one_file_for_the_owner_alone(tmp_path: Path) -> None:
    context = BuildContext("hive", tmp_path / "hive", tmp_path / "lake")
    config = HiveServiceConfig.model_validate(
        {"postgres": "127.0.0.1:5432/metastore", "postgres_password": "pass-word"}
    )
    HiveService(config, context).open()
    holders = [p for p in tmp_path.rglob("*") if p.is_file() and "pass-word" in p.read_text()]
    assert holders == [tmp_path / "hive/conf/hive-site.xml"]
    assert holders[0].stat().st_mode & 0o777 == 0o600


def test_postgres_needs_a_password() -> None:
    with pytest.raises(ValidationError, match="postgres_password"):
        HiveServiceConfig(postgres="127.0.0.1:5432/metastore")


def _answered(answer: bytes) -> list[str]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        threading.Thread(target=theirs.sendall, args=(answer,)).start()
        return thrift.names(ours, "get_all_tables", "gold")


HEAD = struct.pack(">Ii", 0x80010002, 14) + b"get_all_tables" + struct.pack(">i", 0)


def test_names_are_read() -> None:
    names = struct.pack(">bhbi", 15, 0, 11, 2) + struct.pack(">i", 3) + b"day"
    names += struct.pack(">i", 4) + b"week" + b"\0"
    assert _answered(HEAD + names) == ["day", "week"]


def test_an_exception_is_no_answer() -> None:
    head = struct.pack(">I", 0x80010003) + HEAD[4:]
    with pytest.raises(thrift.AnswerError):
        _answered(head + struct.pack(">bh", 11, 1))
