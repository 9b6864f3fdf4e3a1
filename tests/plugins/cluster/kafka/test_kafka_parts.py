"""The Kafka plugin without a broker: its settings, its records, where its log begins."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.cluster.kafka import plugin
from retaild_plugins.cluster.kafka.base import take_base
from retaild_plugins.cluster.kafka.record import FOREIGN, headers, log_entry

from retaild.api import Entry, LogEnd, Spec
from retaild.api.kafka import (
    KafkaClientConfig,
    client_settings,
    jaas,
    java_settings,
    properties_text,
)
from retaild.testing.plugin import check_sample, specs_in

FOLDER = Path(plugin.__file__).parent
SPECS = specs_in(plugin)
KINDS = {kind for kind, _ in SPECS}


@pytest.mark.parametrize(("kind", "spec"), SPECS, ids=sorted(KINDS))
def test_the_sample_is_a_valid_configuration(kind: str, spec: Spec) -> None:
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    check_sample(kind, spec, tomllib.loads(sample), KINDS)
    assert sample in (FOLDER / "README.md").read_text("utf-8")


class Message:
    """As librdkafka hands it out."""

    def __init__(self, value: bytes | None, headers: Any, offset: int = 7) -> None:
        self._value, self._headers, self._offset = value, headers, offset

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        return self._headers

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_500


def test_an_entry_survives_its_record() -> None:
    entry = Entry("käse", "arrow", 12, bytes(range(256)))
    written = [(name, str(value).encode() if isinstance(value, str) else value)
               for name, value in headers(entry, 340)]  # fmt: skip
    found = log_entry(Message(entry.payload, written), base=1000, least_rows=0)
    assert found.entry == entry
    assert (found.offset, found.rows_before, found.appended_at) == (1007, 340, 1_700_000_000.5)


def test_more_rows_that_were_seen_count_more_than_what_the_record_says() -> None:
    written = headers(Entry("sale", "json", 1, b"{}"), 5)
    assert log_entry(Message(b"{}", written), base=0, least_rows=9).rows_before == 9


@pytest.mark.parametrize(
    "strange",
    [
        None,
        [("family", b"sale")],
        [("family", b"sale"), ("codec", b"xml"), ("rows", b"1"), ("rows_before", b"0")],
        [("family", b"sale"), ("codec", b"json"), ("rows", b"many"), ("rows_before", b"0")],
        [("family", b"\xff"), ("codec", b"json"), ("rows", b"1"), ("rows_before", b"0")],
        [("family", None), ("codec", None), ("rows", None), ("rows_before", None)],
    ],
)
def test_what_others_wrote_is_one_row_of_no_family(strange: Any) -> None:
    found = log_entry(Message(b"?", strange), base=0, least_rows=4)
    assert found.entry == Entry(FOREIGN, "json", 1, b"?")
    assert found.rows_before == 4


def test_the_base_is_kept_and_another_topic_begins_behind(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text(json.dumps({"offset": 40, "rows": 900}))
    assert take_base(path, "a", LogEnd(40, 900)).start == LogEnd(40, 900)
    assert take_base(path, "a", LogEnd(60, 1200)).start == LogEnd(40, 900)
    assert take_base(path, "b", LogEnd(60, 1200)).start == LogEnd(60, 1200)
    assert take_base(path, "b", LogEnd(99, 2000)).start == LogEnd(60, 1200)


def test_the_password_of_our_own_service_is_used_on_this_machine_only(tmp_path: Path) -> None:
    secret = tmp_path / "kafka/secrets/password"
    secret.parent.mkdir(parents=True)
    secret.write_text("s3cret\n")
    here = KafkaClientConfig(bootstrap_servers="127.0.0.1:1,localhost:2")
    assert client_settings(here, tmp_path) == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "retaild",
        "sasl.password": "s3cret",
    }
    elsewhere = KafkaClientConfig(bootstrap_servers="127.0.0.1:1,kafka.example:2", tls=True)
    assert client_settings(elsewhere, tmp_path) == {"security.protocol": "SSL"}


def test_a_java_client_gets_the_same_in_its_own_words() -> None:
    config = KafkaClientConfig.model_validate(
        {"user": "shop", "password": 'a"b\\c', "tls": True, "ca_file": "/ca.pem"}
    )
    assert java_settings(client_settings(config, Path("/nowhere"))) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="shop" password="a\\"b\\\\c";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "/ca.pem",
    }


def test_a_brokers_login_names_whom_it_lets_in() -> None:
    assert jaas("r", "p", {"r": "p"}).endswith('username="r" password="p" user_r="p";')


def test_properties_survive_javas_escapes() -> None:
    assert properties_text({"a": 'say "x\\y"'}) == 'a=say "x\\\\y"\n'


@pytest.mark.parametrize("wrong", ["kafka", "kafka:", ":9092", "kafka:99999", "kafka:9092,"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        KafkaClientConfig(bootstrap_servers=wrong)
