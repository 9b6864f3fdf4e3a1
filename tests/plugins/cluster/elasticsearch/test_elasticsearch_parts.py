"""The Elasticsearch plugin without a server: what it registers, writes and asks."""

from __future__ import annotations

import base64
import hashlib
import tomllib
from pathlib import Path

import pytest
from retaild_plugins.cluster.elasticsearch import plugin
from retaild_plugins.cluster.elasticsearch.config import (
    ElasticsearchServiceConfig,
    ElasticsearchTargetConfig,
)
from retaild_plugins.cluster.elasticsearch.service import ElasticsearchService, hashed
from retaild_plugins.cluster.elasticsearch.target import ElasticsearchTarget, query_for

from retaild.api import BuildContext, ConfigError
from retaild.testing.plugin import check_sample, specs_in

FOLDER = Path(plugin.__file__).parent
KINDS = {"service", "target"}


@pytest.mark.parametrize(("kind", "spec"), specs_in(plugin))
def test_the_sample_configures_it(kind: str, spec: object) -> None:
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    check_sample(kind, spec, tomllib.loads(sample), KINDS)  # type: ignore[arg-type]
    assert sample in (FOLDER / "README.md").read_text("utf-8")


def _context(root: Path) -> BuildContext:
    home = root / "software" / "elasticsearch" / "1" / "jars" / "elasticsearch-8" / "config"
    home.mkdir(parents=True)
    for name in ("log4j2.properties", "jvm.options"):
        (home / name).write_text("")
    (root / "software" / "elasticsearch" / "current").symlink_to("1")
    services = root / "service"
    return BuildContext(
        "elasticsearch", services / "elasticsearch", root / "lake",
        software_dir=root / "software", services_dir=services,
    )  # fmt: skip


def test_the_password_is_made_once_and_is_for_the_owner_alone(tmp_path: Path) -> None:
    context = _context(tmp_path)
    service = ElasticsearchService(ElasticsearchServiceConfig(), context)
    service.open()
    secret = tmp_path / "service/elasticsearch/secrets/password"
    first = secret.read_text()
    service.open()
    assert secret.read_text() == first
    assert secret.stat().st_mode & 0o777 == 0o600
    started = " ".join(service.servers()[0].command) + str(service.servers()[0].environment)
    assert first not in started
    written = "".join(p.read_text() for p in (tmp_path / "service").rglob("conf/*"))
    assert first not in written
    assert "network.host: 127.0.0.1" in written


def test_a_hash_is_one_that_its_file_realm_can_check() -> None:
    kind, rounds, salt, key = hashed("s3cret").replace("}", "}$").split("$")
    wanted = hashlib.pbkdf2_hmac("sha512", b"s3cret", base64.b64decode(salt), int(rounds), 32)
    assert kind == "{PBKDF2}"
    assert base64.b64decode(key) == wanted


def test_a_target_without_a_password_says_what_to_do(tmp_path: Path) -> None:
    target = ElasticsearchTarget(ElasticsearchTargetConfig(), _context(tmp_path))
    with pytest.raises(ConfigError, match="let retaild run the service"):
        target.open()


def test_a_question_of_many_words_is_cut_not_refused() -> None:
    asked = query_for("word " * 500, None)
    words = asked["function_score"]["query"]["bool"]["must"][0]["bool"]["should"][-1]
    assert len(words["bool"]["must"]) == 12
