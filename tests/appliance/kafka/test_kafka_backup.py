"""A backup of a shop whose log is on Kafka: restored beside another broker, and beside the same."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from retaild_plugins.cluster.kafka.bus import KafkaBus

from retaild.api.bus import TrimmedError
from retaild.api.lake import Lake
from retaild.runtime.backup import service
from retaild.runtime.backup.create import Backup
from retaild.runtime.backup.manifest import Manifest
from retaild.runtime.backup.restore import restore
from retaild.runtime.backup.verify import verify_deeply
from retaild.runtime.context import offline_context
from retaild.runtime.serving import base
from retaild.testing.bus import read_all
from retaild.testing.stream import entry, rows, sale
from tests.runtime.backup.conftest import Shop

from .conftest import Broker

AWAY = "127.0.0.1:1"


class KafkaShop(Shop):
    """As the one beside the embedded log; `servers` may be where no broker is."""

    def __init__(self, root: Path, broker: Broker, topic: str, servers: str = "") -> None:
        self.root, self.config = root, root / "retaild.toml"
        root.mkdir(exist_ok=True)
        self.config.write_text(
            f'[bus]\nplugin = "kafka"\nbootstrap_servers = "{servers or broker.servers}"\n'
            f'topic = "{topic}"\npatience_seconds = {0.5 if servers == AWAY else 30}\n'
        )
        self.context = offline_context(self.config, root / "data")
        self.data = self.context.data
        place = self.data.root / "service"
        if not place.exists():  # the broker's password is there
            place.symlink_to(broker.root / "service")

    def back_up_whole(self, place: Path) -> tuple[Path, Manifest]:
        return Backup(self.context, self.config).create(place)

    def offset(self) -> int:
        with closing(self.context.bus()) as bus:
            bus.open()
            return int(bus.end().offset)

    def drained(self, offset: int) -> None:
        """Wait until the log ends there: what was restored is sent as what waited."""
        with closing(self.context.bus()) as bus:
            bus.open()
            until = time.monotonic() + 60
            while bus.end().offset < offset:
                assert time.monotonic() < until, f"the log ends at {bus.end().offset}"
                time.sleep(0.02)

    def ids(self) -> list[str]:
        return [i for (i,) in rows(Lake(self.data.lake), "silver.sale", "event_id")]


@pytest.fixture
def topic(broker: Broker) -> str:
    return broker.new_topic()


@pytest.fixture
def shop(broker: Broker, topic: str, tmp_path: Path) -> KafkaShop:
    """Entries 0 and 1 are in the lake, 2 is not; the server's base is from before entry 1."""
    shop = KafkaShop(tmp_path / "shop", broker, topic)
    shop.sell("a")
    shop.sell("b")
    shop.sell("c1", "c2", to_lake=False)
    base.write_base(shop.data.online, 1, {"meta": {"offset": 1}}, {})
    return shop


def restored(shop: KafkaShop, backup: Path, broker: Broker, topic: str) -> KafkaShop:
    root = shop.root.parent / "new"
    root.mkdir()
    restore(backup, root / "data")
    return KafkaShop(root, broker, topic)


def delete_topic(shop: KafkaShop, topic: str) -> None:
    with closing(shop.context.bus()) as bus:
        assert isinstance(bus, KafkaBus)
        bus.open()
        where = bus.topic()
    admin = AdminClient({"bootstrap.servers": where.bootstrap_servers, **where.client})
    (gone,) = admin.delete_topics([topic]).values()
    gone.result(30)
    until = time.monotonic() + 30
    while topic in admin.list_topics(timeout=30).topics:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_beside_another_broker_the_log_begins_with_what_the_backup_holds(
    shop: KafkaShop, broker: Broker, topic: str, tmp_path: Path
) -> None:
    backup, manifest = shop.back_up_whole(tmp_path / "safe")
    assert manifest.facts["log"] == {"offset": 3, "rows": 4}
    assert manifest.facts["carried"] == 2
    assert manifest.left_out[0] == (
        "Entries before 1 of the log in Kafka that the lake has already."
    )
    delete_topic(shop, topic)

    new = restored(shop, backup, broker, topic)
    assert new.ids() == ["a", "b"]
    new.drained(3)
    with closing(new.context.bus()) as bus:
        bus.open()
        # From where the server's base is, numbered as before, so that lake and server go on.
        found = [(e.offset, e.rows_before, e.entry.rows) for e in bus.read(1)]
        assert found == [(1, 1, 1), (2, 2, 2)]
        with pytest.raises(TrimmedError):
            bus.read(0)
    new.carry()
    new.sell("later")
    assert new.ids() == ["a", "b", "c1", "c2", "later"]
    # Another process, or the next start, begins nothing anew.
    assert new.offset() == 4


def test_beside_the_same_broker_it_goes_on_as_if_nothing_had_been(
    shop: KafkaShop, broker: Broker, topic: str, tmp_path: Path
) -> None:
    backup, _ = shop.back_up_whole(tmp_path / "safe")
    shop.append(entry(sale("after")))  # not in the backup, but in the topic

    new = restored(shop, backup, broker, topic)
    assert new.offset() == 4  # nothing is sent a second time
    new.carry()
    assert new.ids() == ["a", "after", "b", "c1", "c2"]
    with closing(new.context.bus()) as bus:
        bus.open()
        assert [(e.offset, e.rows_before) for e in read_all(bus)] == [(0, 0), (1, 1), (2, 2),
                                                                     (3, 4)]  # fmt: skip


def test_a_topic_made_anew_under_the_old_name_is_not_taken_for_the_old_one(
    shop: KafkaShop, broker: Broker, topic: str, tmp_path: Path
) -> None:
    """Although it has become longer than the old one was."""
    backup, _ = shop.back_up_whole(tmp_path / "safe")
    delete_topic(shop, topic)
    other = KafkaShop(tmp_path / "other", broker, topic)
    for number in range(5):
        other.append(entry(sale(f"theirs-{number}")))

    new = restored(shop, backup, broker, topic)
    new.drained(10)  # their five behind the old log's three, then our two
    new.carry()
    theirs = [f"theirs-{number}" for number in range(5)]
    assert new.ids() == ["a", "b", "c1", "c2", *theirs]


def test_verifying_it_asks_no_broker_and_changes_nothing_there(
    shop: KafkaShop, broker: Broker, topic: str, tmp_path: Path
) -> None:
    backup, _ = shop.back_up_whole(tmp_path / "safe")
    shop.append(entry(sale("after")))
    for servers in (broker.servers, AWAY):
        asking = KafkaShop(tmp_path / "asking", broker, topic, servers)
        verdict = verify_deeply(
            backup, tmp_path, lambda data, own=asking.context: service.bus_of(own, data),
            lambda _done, _text: None,
        )  # fmt: skip
        assert verdict.problems == ()
    assert shop.offset() == 4


def test_while_the_broker_is_away_the_backup_says_what_it_lacks(
    shop: KafkaShop, broker: Broker, topic: str, tmp_path: Path
) -> None:
    cut_off = KafkaShop(shop.root, broker, topic, AWAY)
    cut_off.append(entry(sale("waiting")))
    backup, manifest = cut_off.back_up_whole(tmp_path / "safe")
    assert manifest.left_out[0].startswith(
        "Entries 2 to 2 of the log, which the lake does not have yet: Kafka at 127.0.0.1:1 does "
        "not answer"
    )
    delete_topic(KafkaShop(shop.root, broker, topic), topic)

    new = restored(shop, backup, broker, topic)
    new.drained(3)  # the log begins where the lake ends, with what waited on this machine
    new.carry()
    assert new.ids() == ["a", "b", "waiting"]
    new.sell("later")
    assert new.ids() == ["a", "b", "later", "waiting"]


def test_what_waits_is_not_lost_beside_the_same_broker(
    shop: KafkaShop, broker: Broker, topic: str, tmp_path: Path
) -> None:
    cut_off = KafkaShop(shop.root, broker, topic, AWAY)
    cut_off.append(entry(sale("waiting")))
    backup, _ = cut_off.back_up_whole(tmp_path / "safe")
    new = restored(shop, backup, broker, topic)
    new.drained(4)
    new.carry()
    assert new.ids() == ["a", "b", "c1", "c2", "waiting"]


def test_a_restored_shop_that_has_not_met_its_broker_can_be_backed_up(
    shop: KafkaShop, broker: Broker, topic: str, tmp_path: Path
) -> None:
    backup, _ = shop.back_up_whole(tmp_path / "safe")
    new = restored(shop, backup, broker, topic)
    waiting = KafkaShop(new.root, broker, topic, AWAY)
    waiting.append(entry(sale("meanwhile")))
    again, _ = waiting.back_up_whole(tmp_path / "safe-too")

    third = tmp_path / "third"
    third.mkdir()
    restore(again, third / "data")
    last = KafkaShop(third, broker, topic)
    last.drained(4)  # the same topic: only what was sold since is sent
    last.carry()
    assert last.ids() == ["a", "b", "c1", "c2", "meanwhile"]
